//! Parquet: columns of strings, numbers, truth values, dates, timestamps, and lists of them; others are left out.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::{Problem, Reader};
use crate::record::{Record, Value};

pub(crate) struct Parquet {
    rows: RowIter<'static>,
    names: HashMap<String, Column>,
    row: u64,
    rows_in_all: u64,
    /// The file's size, which is counted as read in proportion to the rows.
    bytes: u64,
    counted: u64,
    counter: Arc<AtomicU64>,
    ended: bool,
}

struct Column {
    name: Arc<str>,
    /// The row reader gives timestamps in nanoseconds as plain numbers.
    nanoseconds: bool,
    /// No row may lack it, so that one that does comes from damaged pages.
    required: bool,
}

impl Parquet {
    /// Opens `path`; of its columns only those in `wanted` are read, if given.
    pub(crate) fn open(
        path: &Path,
        counter: &Arc<AtomicU64>,
        wanted: Option<&dyn Fn(&str) -> bool>,
    ) -> Result<Self, Problem> {
        let whole = |what: String| Problem::file(0, what);
        let file = File::open(path).map_err(|error| whole(format!("can't be read: {error}")))?;
        let bytes = file
            .metadata()
            .map_err(|error| whole(format!("can't be read: {error}")))?
            .len();
        let opened = guarded(|| {
            let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
            let metadata = reader.metadata().file_metadata();
            let rows = metadata.num_rows();
            let schema = metadata.schema();
            // A file whose damage left nothing to sample has no wanted columns; reading them all finds the damage.
            let all = !schema
                .get_fields()
                .iter()
                .any(|field| wanted.is_none_or(|wanted| wanted(field.name())));
            let mut names = HashMap::new();
            let mut kept = Vec::new();
            for field in schema.get_fields() {
                if !all && wanted.is_some_and(|wanted| !wanted(field.name())) {
                    continue;
                }
                kept.push(Arc::clone(field));
                names.insert(
                    field.name().to_string(),
                    Column {
                        name: field.name().into(),
                        nanoseconds: is_nanoseconds(field),
                        required: field.is_primitive() && !field.is_optional(),
                    },
                );
            }
            let projection = Type::group_type_builder(schema.name())
                .with_fields(kept)
                .build()
                .map_err(|error| error.to_string())?;
            let rows_iter = RowIter::from_file_into(Box::new(reader))
                .project(Some(projection))
                .map_err(|error| error.to_string())?;
            Ok((rows_iter, names, u64::try_from(rows).unwrap_or(0)))
        });
        let (rows, names, rows_in_all) = opened.map_err(|error| {
            whole(format!(
                "expected a Parquet file, found a damaged or truncated one ({})",
                tidy(&error)
            ))
        })?;
        Ok(Self {
            rows,
            names,
            row: 0,
            rows_in_all,
            bytes,
            counted: 0,
            counter: Arc::clone(counter),
            ended: false,
        })
    }

    fn count(&mut self) {
        let share = self.row as f64 / self.rows_in_all.max(1) as f64;
        let now = if self.ended {
            self.bytes
        } else {
            (self.bytes as f64 * share.min(1.0)) as u64
        };
        let news = now.saturating_sub(self.counted);
        self.counter.fetch_add(news, Ordering::Relaxed);
        self.counted += news;
    }
}

/// The library's messages say "Parquet error: " first.
fn tidy(error: &str) -> &str {
    error.strip_prefix("Parquet error: ").unwrap_or(error).trim()
}

/// Damaged files must not end the program, whatever the library does about them.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("the reader gave up")
            .into())
    })
}

fn is_nanoseconds(column: &Type) -> bool {
    column.is_primitive()
        && matches!(
            column.get_basic_info().logical_type_ref(),
            Some(LogicalType::Timestamp(timestamp)) if timestamp.unit == TimeUnit::NANOS
        )
}

impl Reader for Parquet {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        if self.ended {
            return None;
        }
        let row = match guarded(|| self.rows.next().transpose().map_err(|error| error.to_string())) {
            Ok(Some(row)) => row,
            Ok(None) => {
                self.ended = true;
                self.count();
                return None;
            }
            Err(error) => {
                self.ended = true;
                self.count();
                let what = format!(
                    "expected row {} of {}, found damaged data ({})",
                    self.row + 1,
                    self.rows_in_all,
                    tidy(&error)
                );
                return Some(Err(Problem::file(self.row + 1, what)));
            }
        };
        self.row += 1;
        if self.row.is_multiple_of(256) {
            self.count();
        }
        let mut fields = Vec::with_capacity(self.names.len());
        let mut missing = None;
        for (name, field) in row.into_columns() {
            let Some(column) = self.names.get(&name) else {
                continue;
            };
            let value = match (value(field, false), column.nanoseconds) {
                (Value::Integer(nanoseconds), true) => Value::Instant(nanoseconds.div_euclid(1000)),
                (value, _) => value,
            };
            if value == Value::Null && column.required {
                missing = Some(name);
            }
            fields.push((Arc::clone(&column.name), value));
        }
        if let Some(name) = missing {
            self.ended = true;
            self.count();
            let what = format!(
                "expected row {} of {}, found damaged data (column {name:?} ends before it)",
                self.row, self.rows_in_all
            );
            return Some(Err(Problem::file(self.row, what)));
        }
        Some(Ok(Record {
            fields,
            line: self.row,
        }))
    }
}

fn value(field: Field, inside_list: bool) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(value),
        Field::Byte(value) => Value::Integer(value.into()),
        Field::Short(value) => Value::Integer(value.into()),
        Field::Int(value) => Value::Integer(value.into()),
        Field::Long(value) => Value::Integer(value),
        Field::UByte(value) => Value::Integer(value.into()),
        Field::UShort(value) => Value::Integer(value.into()),
        Field::UInt(value) => Value::Integer(value.into()),
        Field::ULong(value) => {
            i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer)
        }
        Field::Float16(value) => Value::Float(f32::from(value).into()),
        Field::Float(value) => Value::Float(value.into()),
        Field::Double(value) => Value::Float(value),
        Field::Str(text) => Value::Text(text),
        Field::Bytes(bytes) => match bytes.as_utf8() {
            Ok(text) => Value::Text(text.into()),
            Err(_) => Value::Nested("binary data"),
        },
        Field::Date(days) => Value::Instant(i64::from(days) * 86_400_000_000),
        Field::TimestampMillis(millis) => millis.checked_mul(1000).map_or(Value::Null, Value::Instant),
        Field::TimestampMicros(micros) => Value::Instant(micros),
        Field::ListInternal(list) if !inside_list => Value::List(
            list.elements()
                .iter()
                .map(|element| value(element.clone(), true))
                .collect(),
        ),
        Field::ListInternal(_) => Value::Nested("a list in a list"),
        Field::Group(_) => Value::Nested("an object"),
        Field::MapInternal(_) => Value::Nested("a map"),
        // As it is written: 12.50.
        decimal @ Field::Decimal(_) => Value::Raw(decimal.to_string()),
        time @ (Field::TimeMillis(_) | Field::TimeMicros(_)) => Value::Text(time.to_string()),
    }
}
