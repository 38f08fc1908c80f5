// Package leaktest checks that the tests of a package leave no goroutine.
package leaktest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end after the tests. [goleak.VerifyTestMain] waits for
// less than half a second, which a goroutine that is ending can exceed on a busy machine.
const patience = time.Minute

// Main is a TestMain. It runs the tests, and fails if goroutines remain.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := Await(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Await waits until the other goroutines have ended. It returns an error that names those that remain.
func Await(options ...goleak.Option) error { return await(patience, options...) }

func await(patience time.Duration, options ...goleak.Option) (err error) {
	for deadline := time.Now().Add(patience); ; {
		if err = goleak.Find(options...); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
