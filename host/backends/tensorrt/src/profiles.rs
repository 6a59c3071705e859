//! Optimisation profiles: the shapes that an engine was built for, and which profile an execution takes.
//!
//! Of the profiles that allow the shapes, the one whose best shapes are nearest, as in Triton. Ties go to the first.

use std::fmt;

/// Extents; in what an engine declares -1 is any.
pub(crate) type Extents = Vec<i64>;

/// The shapes of one input in one profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) smallest: Extents,
    pub(crate) best: Extents,
    pub(crate) largest: Extents,
}

/// One profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// In the engine.
    pub(crate) index: usize,
    /// By input, in the order of the engine.
    pub(crate) bounds: Vec<Bounds>,
}

/// The place, among `profiles`, of the one for these shapes, which are in the order of the engine's inputs.
///
/// # Errors
/// None allows them; the text says what each would.
pub(crate) fn choose(profiles: &[Profile], shapes: &[(&str, Extents)]) -> Result<usize, String> {
    let allowed = profiles.iter().enumerate().filter(|(_, profile)| profile.objection(shapes).is_none());
    let nearest = allowed.min_by_key(|(_, profile)| profile.distance(shapes));
    nearest.map(|(place, _)| place).ok_or_else(|| {
        let objections: Vec<String> = profiles.iter().filter_map(|profile| profile.objection(shapes)).collect();
        format!("no optimization profile of the engine allows these shapes: {}", objections.join("; "))
    })
}

/// The profiles that a model's instances use, by the names in its instance groups, which are numbers; the engine's first
/// where nothing is named.
///
/// # Errors
/// A name that is no number of a profile.
pub(crate) fn selected(names: &[String], count: usize) -> Result<Vec<usize>, String> {
    if names.is_empty() {
        return Ok(vec![0]);
    }
    let mut selected: Vec<usize> = Vec::new();
    for name in names {
        let index = name.trim().parse().ok().filter(|index: &usize| *index < count).ok_or_else(|| {
            let last = count.saturating_sub(1);
            format!("profile '{name}' is not in the engine, whose profiles are 0 to {last}")
        })?;
        if !selected.contains(&index) {
            selected.push(index);
        }
    }
    Ok(selected)
}

// === impl Profile ===

impl Profile {
    /// The largest batch: of the inputs' first extents the smallest.
    pub(crate) fn largest_batch(&self) -> Option<i64> {
        self.bounds.iter().filter_map(|bounds| bounds.largest.first().copied()).min()
    }

    /// What keeps the shapes from this profile.
    fn objection(&self, shapes: &[(&str, Extents)]) -> Option<String> {
        let (bounds, (name, shape)) =
            self.bounds.iter().zip(shapes).find(|(bounds, (_, shape))| !bounds.allow(shape))?;
        let (smallest, largest) = (Shown(&bounds.smallest), Shown(&bounds.largest));
        let index = self.index;
        Some(format!("input '{name}' has shape {}, profile {index} takes {smallest} to {largest}", Shown(shape)))
    }

    fn distance(&self, shapes: &[(&str, Extents)]) -> u64 {
        self.bounds.iter().zip(shapes).map(|(bounds, (_, shape))| bounds.distance(shape)).fold(0, u64::saturating_add)
    }
}

// === impl Bounds ===

impl Bounds {
    fn allow(&self, shape: &[i64]) -> bool {
        let within = |((extent, smallest), largest): ((&i64, &i64), &i64)| smallest <= extent && extent <= largest;
        shape.len() == self.largest.len() && shape.iter().zip(&self.smallest).zip(&self.largest).all(within)
    }

    fn distance(&self, shape: &[i64]) -> u64 {
        shape.iter().zip(&self.best).map(|(extent, best)| extent.abs_diff(*best)).fold(0, u64::saturating_add)
    }
}

/// Extents as they are written in configurations.
pub(crate) struct Shown<'a>(pub(crate) &'a [i64]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(i64::to_string).collect();
        write!(f, "[{}]", texts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(index: usize, smallest: i64, best: i64, largest: i64) -> Profile {
        let bounds = Bounds { smallest: vec![smallest, 3], best: vec![best, 3], largest: vec![largest, 3] };
        Profile { index, bounds: vec![bounds] }
    }

    #[test]
    fn the_nearest_profile_that_allows_the_shape_is_taken() {
        let profiles = [profile(0, 1, 1, 4), profile(1, 1, 8, 32), profile(2, 16, 64, 64)];
        let choice = |rows: i64| choose(&profiles, &[("x", vec![rows, 3])]);
        assert_eq!((choice(1), choice(4), choice(5)), (Ok(0), Ok(0), Ok(1)));
        assert_eq!((choice(33), choice(20)), (Ok(2), Ok(1)));
    }

    #[test]
    fn a_shape_that_none_allows_is_refused_with_all_of_them() {
        let profiles = [profile(0, 1, 1, 4), profile(3, 8, 8, 8)];
        assert_eq!(
            choose(&profiles, &[("x", vec![5, 3])]).unwrap_err(),
            "no optimization profile of the engine allows these shapes: input 'x' has shape [5,3], profile 0 takes [1,3] to \
             [4,3]; input 'x' has shape [5,3], profile 3 takes [8,3] to [8,3]"
        );
        assert!(choose(&profiles, &[("x", vec![1])]).is_err(), "another rank");
    }

    #[test]
    fn profiles_are_named_by_their_numbers() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(selected(&[], 3), Ok(vec![0]));
        assert_eq!(selected(&names(&["2", "0", "2"]), 3), Ok(vec![2, 0]));
        for wrong in ["3", "-1", "default"] {
            let text = selected(&names(&[wrong]), 3).unwrap_err();
            assert_eq!(text, format!("profile '{wrong}' is not in the engine, whose profiles are 0 to 2"));
        }
    }

    #[test]
    fn a_batch_is_as_large_as_every_input_allows() {
        let mut two = profile(0, 1, 1, 16);
        two.bounds.push(Bounds { largest: vec![8], ..Bounds::default() });
        assert_eq!(two.largest_batch(), Some(8));
    }
}
