//! TfIdfVectorizer: counts n-grams, as onnxruntime 1.32 does. [ONNX](https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html).

use std::collections::HashMap;

use crate::engine::kernel::{Dim, Fact, OpError, as_i64, as_strings, tensor};
use crate::engine::native::node::{Built, Node};
use crate::tensor::{Data, Dtype, Tensor};

/// Skips are tried one after the other over a whole row.
const SKIP_COUNT_MAX: usize = 1_024;
/// And from every item on as many others are looked at.
const GRAM_LEN_MAX: usize = 64;

/// What the pool's items are numbered by.
#[derive(Debug)]
enum Items {
    Ints(HashMap<i64, usize>),
    Strings(HashMap<String, usize>),
}

impl Items {
    /// The number of each value of `input`; none for what no n-gram has.
    fn of(&self, input: &Tensor) -> Result<Vec<Option<usize>>, String> {
        Ok(match self {
            Self::Ints(items) => as_i64(input)?.iter().map(|item| items.get(item).copied()).collect(),
            Self::Strings(items) => as_strings(input)?.iter().map(|item| items.get(item.as_str()).copied()).collect(),
        })
    }
}

/// What an n-gram adds to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// 1 each time.
    Tf,
    /// Its weight, once.
    Idf,
    /// Its weight each time.
    TfIdf,
}

/// Where an n-gram is counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    column: usize,
    weight: f32,
}

/// The n-grams of a pool, as paths from item to item.
#[derive(Debug)]
struct Ngrams {
    items: Items,
    /// By item, the place behind it, where an n-gram begins with it.
    firsts: Vec<Option<usize>>,
    /// From a place by an item to the next place.
    steps: HashMap<(usize, usize), usize>,
    /// By place, where an n-gram ends there.
    ends: Vec<Option<Counted>>,
    least: usize,
    most: usize,
    skip_count: usize,
    mode: Mode,
    n_columns: usize,
}

impl Ngrams {
    fn read(node: &Node<'_>) -> Result<Self, OpError> {
        let attributes = node.attributes();
        let mode = match attributes.text("mode")?.unwrap_or_default() {
            "TF" => Mode::Tf,
            "IDF" => Mode::Idf,
            "TFIDF" => Mode::TfIdf,
            other => return node.bad(format!("mode: expected TF, IDF or TFIDF, got {other:?}")),
        };
        let size = |name: &str| match attributes.int(name)?.map(usize::try_from) {
            Some(Ok(size)) => Ok(size),
            _ => node.bad(format!("{name}: expected a number, 0 or more")),
        };
        let (least, most, skip_count) = (size("min_gram_length")?, size("max_gram_length")?, size("max_skip_count")?);
        if SKIP_COUNT_MAX < skip_count {
            return OpError::unknown(format!("TfIdfVectorizer that skips more than {SKIP_COUNT_MAX} items"));
        }
        if GRAM_LEN_MAX < most {
            return OpError::unknown(format!("TfIdfVectorizer of n-grams of more than {GRAM_LEN_MAX} items"));
        }
        let starts = attributes.ints("ngram_counts")?;
        if least == 0 || most < least || starts.len() < most {
            return node.bad(format!("n-grams of {least} to {most} items, where ngram_counts has {}", starts.len()));
        }
        let columns = attributes.ints("ngram_indexes")?.iter().map(|&column| usize::try_from(column));
        let Ok(columns) = columns.collect::<Result<Vec<usize>, _>>() else {
            return node.bad("ngram_indexes: expected numbers of 0 or more");
        };
        let n_columns = columns.iter().max().and_then(|most| most.checked_add(1));
        let n_columns = n_columns.ok_or_else(|| OpError::Bad("TfIdfVectorizer: no ngram_indexes".to_owned()))?;
        let weights = attributes.floats("weights")?;
        if !weights.is_empty() && weights.len() != columns.len() {
            return node.bad(format!("{} weights, {} ngram_indexes", weights.len(), columns.len()));
        }
        let (ints, strings) = (attributes.ints("pool_int64s")?, attributes.strings("pool_strings")?);
        let n_items = ints.len() + strings.len();
        let (items, pool) = if !strings.is_empty() {
            let (items, pool) = numbered(strings.into_iter().map(str::to_owned));
            (Items::Strings(items), pool)
        } else if !ints.is_empty() {
            let (items, pool) = numbered(ints.iter().copied());
            (Items::Ints(items), pool)
        } else {
            return node.bad("expected pool_strings or pool_int64s");
        };
        let mut ngrams = Self {
            items,
            firsts: vec![None; n_items],
            steps: HashMap::new(),
            ends: Vec::new(),
            least,
            most,
            skip_count,
            mode,
            n_columns,
        };
        let counted = columns.iter().enumerate().map(|(ngram, &column)| {
            let weight = if mode == Mode::Tf { 1.0 } else { weights.get(ngram).copied().unwrap_or(1.0) };
            Counted { column, weight }
        });
        ngrams.fill(&pool, starts, counted).or_else(|problem| node.bad(problem))?;
        if mode == Mode::Idf && !weights.is_empty() && ngrams.share_a_column() {
            // Whose weight stands there is not said.
            return OpError::unknown("TfIdfVectorizer of mode IDF with n-grams of one column");
        }
        Ok(ngrams)
    }

    /// Takes the n-grams out of `pool`, those of each length from its start on; `counted` says of each where it is counted.
    fn fill(
        &mut self,
        pool: &[usize],
        starts: &[i64],
        mut counted: impl Iterator<Item = Counted>,
    ) -> Result<(), String> {
        for (at, &start) in starts.iter().enumerate() {
            let (len, end) = (at + 1, starts.get(at + 1).copied());
            let place = |place: i64| usize::try_from(place).ok().filter(|&place| place <= pool.len());
            let of_len = match (place(start), end.map_or(Some(pool.len()), place)) {
                (Some(start), Some(end)) if start <= end && (end - start).is_multiple_of(len) => &pool[start..end],
                _ => {
                    return Err(format!(
                        "ngram_counts: n-grams of {len} items from item {start} on do not fit the pool"
                    ));
                }
            };
            for ngram in of_len.chunks_exact(len) {
                let counted = counted.next();
                if !(self.least..=self.most).contains(&len) {
                    continue;
                }
                if !self.insert(ngram, counted.ok_or("more n-grams than ngram_indexes")?) {
                    return Err(format!("an n-gram of {len} items is there twice"));
                }
            }
        }
        Ok(())
    }

    /// Whether it was not there yet.
    fn insert(&mut self, ngram: &[usize], counted: Counted) -> bool {
        let Some((&first, rest)) = ngram.split_first() else { return false };
        let ends = &mut self.ends;
        let mut new_place = || {
            ends.push(None);
            ends.len() - 1
        };
        let mut place = *self.firsts[first].get_or_insert_with(&mut new_place);
        for &item in rest {
            place = *self.steps.entry((place, item)).or_insert_with(&mut new_place);
        }
        self.ends[place].replace(counted).is_none()
    }

    fn share_a_column(&self) -> bool {
        let mut columns: Vec<_> = self.ends.iter().flatten().map(|counted| counted.column).collect();
        columns.sort_unstable();
        columns.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Counts the n-grams of a row of items.
    fn count(&self, items: &[Option<usize>], row: &mut [f32]) {
        for distance in 1..=self.skip_count + 1 {
            // An n-gram of one item has nothing to skip.
            let least = if distance == 1 { self.least } else { self.least.max(2) };
            if self.most < least {
                return;
            }
            let Some(n_starts) = items.len().checked_sub((least - 1).saturating_mul(distance)) else { return };
            for start in 0..n_starts {
                self.follow(items[start..].iter().copied().step_by(distance).take(self.most), least, row);
            }
        }
    }

    /// Counts the n-grams of `least` items or more that begin where `items` do.
    fn follow(&self, items: impl IntoIterator<Item = Option<usize>>, least: usize, row: &mut [f32]) {
        let mut place = None;
        for (at, item) in items.into_iter().enumerate() {
            let Some(item) = item else { return };
            let next = match place {
                None => self.firsts[item],
                Some(place) => self.steps.get(&(place, item)).copied(),
            };
            let Some(next) = next else { return };
            place = Some(next);
            if let (true, Some(Counted { column, weight })) = (least <= at + 1, self.ends[next]) {
                match self.mode {
                    Mode::Tf | Mode::TfIdf => row[column] += weight,
                    Mode::Idf => row[column] = weight,
                }
            }
        }
    }
}

/// Numbers for the different ones of `items`, and the number of each.
fn numbered<T: std::hash::Hash + Eq>(items: impl Iterator<Item = T>) -> (HashMap<T, usize>, Vec<usize>) {
    let mut numbers = HashMap::new();
    let mut number_of = |item| {
        let next = numbers.len();
        *numbers.entry(item).or_insert(next)
    };
    let all = items.map(&mut number_of).collect();
    (numbers, all)
}

/// Rows of items, texts or whole numbers, to counts or weights of n-grams: `[C]` to `[n_columns]`, `[N, C]` to `[N, n_columns]`.
pub(in crate::engine::native) fn tf_idf_vectorizer(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let fact = node.fact(0)?;
    let taken = node.takes(0, &[Dtype::String, Dtype::Int32, Dtype::Int64])?;
    let ngrams = Ngrams::read(node)?;
    if (taken == Dtype::String) != matches!(ngrams.items, Items::Strings(_)) {
        return OpError::unknown(format!("TfIdfVectorizer of {taken} with a pool of others"));
    }
    let columns = Dim::Fixed(ngrams.n_columns);
    let dims = match fact.shape.as_deref() {
        None => None,
        Some([] | [_]) => Some(vec![columns]),
        Some(&[rows, _]) => Some(vec![rows, columns]),
        Some(_) => return node.bad("expected [C] or [N, C] items"),
    };
    Built::one(Fact::new(Dtype::Fp32, dims), move |args| {
        let input = args.get(0)?;
        let (n_rows, row_len, shape) = match *input.shape() {
            [] => (1, 1, vec![ngrams.n_columns]),
            [len] => (1, len, vec![ngrams.n_columns]),
            [n_rows, len] => (n_rows, len, vec![n_rows, ngrams.n_columns]),
            ref shape => return Err(format!("expected [C] or [N, C] items, got {shape:?}")),
        };
        let mut counts = vec![0.0; args.room_for(&shape)?];
        let items = ngrams.items.of(input)?;
        for (at, row) in counts.chunks_exact_mut(ngrams.n_columns).enumerate().take(n_rows) {
            ngrams.count(&items[at * row_len..(at + 1) * row_len], row);
        }
        tensor(shape, Data::Fp32(counts))
    })
}
