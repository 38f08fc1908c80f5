package incident

import "reflect"

// storeAs returns the first store of a type among store and the stores that it wraps.
func storeAs[S Store](store Store) (s S, ok bool) {
	for ; store != nil; store = unwrap(store) {
		if s, ok := store.(S); ok {
			return s, true
		}
	}
	return s, false
}

// unwrap returns the store that store wraps, or nil.
func unwrap(store Store) Store {
	if outer, wraps := store.(interface{ Unwrap() Store }); wraps {
		return outer.Unwrap()
	}
	return nil
}

// isWithin reports whether origin is store or one of the stores that store wraps.
func isWithin(store, origin Store) bool {
	if !reflect.TypeOf(origin).Comparable() {
		return false
	}
	for store != nil && store != origin {
		store = unwrap(store)
	}
	return store != nil
}
