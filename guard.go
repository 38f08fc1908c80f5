package incident

import "fmt"

// guarded calls a store from a goroutine of the library. A panic of the store or its driver
// would end the process there, since no caller could recover it: guarded makes it an error.
func guarded[T any](call func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = storePanicked(p)
		}
	}()
	return call()
}

// storePanicked returns the error of a call of the store that has panicked.
func storePanicked(p any) error { return fmt.Errorf("%w: the store panicked: %v", ErrUnavailable, p) }
