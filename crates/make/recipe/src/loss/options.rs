//! Options in brackets: `name=value, name=value`.

/// Options that were not asked for yet.
pub(crate) struct Options<'a> {
    of: &'a str,
    left: Vec<(&'a str, &'a str)>,
    /// Those that were asked for: what is known.
    known: Vec<&'static str>,
}

impl<'a> Options<'a> {
    /// Reads `text`, the options of `of`.
    ///
    /// # Errors
    /// What is no `name=value`, or is there twice.
    pub fn read(of: &'a str, text: &'a str) -> Result<Self, String> {
        let mut left: Vec<(&str, &str)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!(
                    "{of}: expected options such as margin=0.05, found {part:?}"
                ));
            };
            let (name, value) = (name.trim(), value.trim());
            if left.iter().any(|(other, _)| *other == name) {
                return Err(format!("{of}: expected {name} once, found it twice"));
            }
            left.push((name, value));
        }
        Ok(Self {
            of,
            left,
            known: Vec::new(),
        })
    }

    /// The option's text.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        let at = self.left.iter().position(|(known, _)| *known == name)?;
        Some(self.left.remove(at).1)
    }

    /// The option's text; it has to be there.
    pub fn needed(&mut self, name: &'static str) -> Result<String, String> {
        let found = self.text(name).filter(|text| !text.is_empty());
        found
            .map(str::to_string)
            .ok_or_else(|| format!("{0}: expected {0}({name}=DIR)", self.of))
    }

    /// A number from `least` to `most`, or `usual`.
    pub fn number(&mut self, name: &'static str, least: f32, most: f32, usual: f32) -> Result<f32, String> {
        Ok(self.maybe(name, least, most)?.unwrap_or(usual))
    }

    /// A number from `least` to `most` if the option is there.
    pub fn maybe(&mut self, name: &'static str, least: f32, most: f32) -> Result<Option<f32>, String> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse::<f32>() {
            Ok(value) if (least..=most).contains(&value) => Ok(Some(value)),
            _ => Err(format!(
                "{}: {name}: expected a number from {least} to {most}, found {text:?}",
                self.of
            )),
        }
    }

    /// `true` or `false`, or `usual`.
    pub fn flag(&mut self, name: &'static str, usual: bool) -> Result<bool, String> {
        match self.text(name) {
            None => Ok(usual),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{}: {name}: expected true or false, found {text:?}", self.of)),
        }
    }

    /// All must have been asked for.
    ///
    /// # Errors
    /// The first option that is not known.
    pub fn end(self) -> Result<(), String> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!(
                "{}: expected {}, found the option {name:?}",
                self.of,
                match self.known.is_empty() {
                    true => "no options".into(),
                    false => format!("options out of {}", self.known.join(", ")),
                }
            )),
        }
    }
}
