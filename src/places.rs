//! Places for connections of networks that know nobody: so many at a time, of which one address never
//! takes all, so that one machine cannot keep the others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places for connections.
pub struct Places {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// There is none, or none for this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPlace;

impl Places {
    /// For `most` connections.
    pub fn new(most: usize) -> Arc<Places> {
        Arc::new(Places { most, taken: Mutex::default() })
    }

    /// A place for a connection of this address: of four, an address has three at most.
    ///
    /// # Errors
    /// There is none.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        let address = address.to_canonical();
        let mut taken = self.lock();
        let own = taken.get(&address).copied().unwrap_or_default();
        if own >= self.most - self.most / 4 || taken.values().sum::<usize>() >= self.most {
            return Err(NoPlace);
        }
        taken.insert(address, own + 1);
        Ok(Place { places: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places, until it is dropped.
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_for_others() {
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let places = Places::new(8);
        let mut held: Vec<Place> = (0..6).map(|_| places.take(one).ok().unwrap()).collect();
        assert!(places.take(one).is_err());
        held.extend((0..2).map(|_| places.take(other).ok().unwrap()));
        assert!(places.take(other).is_err(), "all are taken");
        held.clear();
        assert!(places.lock().is_empty() && places.take(one).is_ok());
        let few = Places::new(2);
        let _both = (few.take(one).ok().unwrap(), few.take(one).ok().unwrap());
        assert!(few.take(other).is_err());
    }
}
