package incident

import "fmt"

// guarded calls a store from a goroutine of the library's, in which nobody else could
// recover a panic of the store or of its driver. It would end the process.
func guarded[T any](call func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the store panicked: %v", ErrUnavailable, p)
		}
	}()
	return call()
}
