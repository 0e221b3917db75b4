//! Queries about nothing: everyday words and words of any text that have nothing to do with each other. How relevant the best hits for such queries look
//! in a collection is what chance can do there, and so where the relevance cut belongs.

use kokeshi_core::Seed;
use rayon::prelude::*;

use crate::{Collection, Mode, Result, SearchRequest};

/// How many queries are asked.
const QUERIES: usize = 200;
/// Words of [`EVERYDAY`] and of [`COMMON`] in each.
const WORDS: (usize, usize) = (2, 3);
/// The share of them that must find nothing. `bench/no_answer/run.py` prints what this gives for real off-topic queries.
const SILENT: f64 = 0.9;
/// Hits that are looked at for each.
const HITS: usize = 10;

/// Words of everyday life from many fields.
const EVERYDAY: &str = "kitchen butter pepper bakery spoon lemon cheese onion supper picnic bicycle harbour ferry luggage \
    airport motorway ticket camel suitcase compass hammer ladder bucket drill paint fence roof brick chimney garage \
    violin trumpet opera dancer circus poem novel painter statue museum wedding birthday cousin uncle grandmother \
    teacher lawyer barber plumber sailor soldier priest queen castle village parliament election passport tax mortgage \
    salary pension bank coin auction bargain diamond necklace jacket button sleeve leather velvet wool shoe umbrella \
    carpet curtain pillow candle lamp mirror clock calendar envelope stamp newspaper magazine crossword puzzle chess \
    football cricket tennis swimming marathon skiing referee trophy stadium horse rabbit donkey parrot spider butterfly \
    garden tulip oak meadow forest valley mountain desert island beach thunder snow rain winter autumn sunrise moon \
    telephone camera radio television cartoon joke laughter sorrow courage jealousy friendship holiday carnival parade \
    burglar prison judge rumour gossip secret promise apology luck dream nightmare ghost dragon pirate treasure legend \
    hairdresser perfume soap towel toothbrush pyjamas balcony elevator staircase basement attic cupboard drawer kettle \
    saucepan biscuit chocolate pancake sausage vinegar honey whisky coffee teapot restaurant waiter recipe menu \
    tractor harvest barn shepherd fisherman lighthouse anchor canoe tent campfire backpack map railway tunnel bridge \
    firework balloon kite doll marbles playground homework crayon scissors glue ribbon basket blanket guitar drum \
    choir lullaby karaoke tattoo fashion lipstick bracelet sunglasses scarf gloves boots mud puddle fog rainbow";

/// Words that texts of any field use, and that off-topic queries therefore share with them.
const COMMON: &str = "history rule price time home open office train equipment standard result minimum record repair speech school \
    city country old new cheap best way write read plan season week month year weekend number letter word paper book page name \
    place area north south west local public national service system computer program machine car house building room door \
    street road water food drink eat cook buy sell rent pay cost free money market business company job work employee manager \
    family child parent friend people man woman girl boy president government law police court army war peace team player \
    game win lose score club member event party show film music song story actor star host idea question answer explain learn \
    teach course student test exam check list guide tip help change fix clean paint draw cut tie fold install reset update \
    password online phone website video picture photo colour red blue green white black light dark big small long short fast \
    slow early late summer spring today tomorrow birthday present future travel trip flight hotel beach sport run walk swim \
    body head hand foot heart eye hair skin animal dog cat bird fish tree flower fruit land sea sky sun fire air cold hot";

/// The relevance that chance reaches in the open generation of `collection`; `None` if relevance can't be told there.
///
/// # Errors
/// What the model or the word index reports.
pub fn bar(collection: &Collection) -> Result<Option<f32>> {
    let (everyday, common) = (words(EVERYDAY), words(COMMON));
    let mut seed = Seed(0x6368_616e_6365);
    let mut draw = |words: &[&'static str], count: usize| -> Vec<&'static str> {
        (0..count).map(|_| words[seed.below(words.len())]).collect()
    };
    let queries: Vec<String> = (0..QUERIES)
        .map(|_| {
            [draw(&everyday, WORDS.0), draw(&common, WORDS.1)]
                .concat()
                .join(" ")
        })
        .collect();
    let best = queries
        .par_iter()
        .map(|query| {
            let request = SearchRequest {
                query: query.clone(),
                mode: Mode::Hybrid,
                k: HITS,
                no_cut: true,
                explain: true,
                ..SearchRequest::default()
            };
            let hits = collection.search(&request)?.hits;
            Ok(hits
                .iter()
                .filter_map(|hit| hit.why.as_ref()?.relevance)
                .max_by(f32::total_cmp))
        })
        .collect::<Result<Vec<Option<f32>>>>()?;
    let mut best: Vec<f32> = best.into_iter().flatten().collect();
    best.sort_by(f32::total_cmp);
    Ok(best.get((best.len() as f64 * SILENT) as usize).copied())
}

fn words(list: &'static str) -> Vec<&'static str> {
    list.split_whitespace().collect()
}
