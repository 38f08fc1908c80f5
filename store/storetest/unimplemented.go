package storetest

import (
	"errors"
	"fmt"
	"strings"
)

// ifImplemented makes a call that a fixture can do without. It returns nil if the store
// does not implement the method, whose own cases fail then.
func ifImplemented(call func() error) error {
	if err := attempt(call); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// attempt makes a call. If the call panics with a text that says that a method is not
// implemented, attempt returns [errors.ErrUnsupported].
func attempt(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			if !saysUnimplemented(value) {
				panic(value)
			}
			err = fmt.Errorf("%w: panic: %v", errors.ErrUnsupported, value)
		}
	}()
	return call()
}

func saysUnimplemented(value any) bool {
	if err, ok := value.(error); ok && errors.Is(err, errors.ErrUnsupported) {
		return true
	}
	text := strings.ToLower(fmt.Sprint(value))
	return strings.Contains(text, "not implemented") || strings.Contains(text, "unimplemented")
}
