//! The numbers under which a guest knows host objects.
//!
//! Numbers are reused within a call and never across calls: a handle that a guest kept from an earlier call finds
//! nothing, instead of somebody else's tensor. Freeing everything at the end of a call is one step.

/// Objects of one kind.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    /// Number of the first slot.
    first: u32,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

// === impl Arena ===

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { first: 0, slots: Vec::new(), free: Vec::new() }
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The objects, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// Keeps `value` and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            *slot = Some(value);
            return self.first.wrapping_add(index);
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Some(value));
        self.first.wrapping_add(index)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(self.index(number))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let index = self.index(number);
        self.slots.get_mut(index)?.as_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let index = self.index(number);
        let value = self.slots.get_mut(index)?.take()?;
        self.free.push(number.wrapping_sub(self.first));
        Some(value)
    }

    /// Drops everything and retires the numbers used so far.
    pub(crate) fn clear(&mut self) {
        self.first = self.first.wrapping_add(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.slots.clear();
        self.free.clear();
    }

    fn index(&self, number: u32) -> usize {
        number.wrapping_sub(self.first) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_an_earlier_call_finds_nothing() {
        let mut arena = Arena::new();
        let old = arena.insert("old");
        arena.clear();
        let new = arena.insert("new");
        assert_eq!((arena.get(old), arena.get(new)), (None, Some(&"new")));
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn numbers_are_reused_within_a_call() {
        let mut arena = Arena::new();
        let first = arena.insert(1);
        arena.insert(2);
        assert_eq!(arena.remove(first), Some(1));
        assert_eq!(arena.insert(3), first);
        assert_eq!(arena.len(), 2);
    }
}
