//go:build !unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
)

var stopSignals = []os.Signal{os.Interrupt}

func canStart() error {
	return errors.New("pgtest: no server can be started on this platform; name one in " + EnvURL)
}

func apart(*exec.Cmd)                {}
func asUnprivileged(*exec.Cmd) error { return canStart() }
func giveAway(string) error          { return canStart() }
func signalQuit(int) bool            { return false }
func killIn(string)                  {}
func processesIn(string) []int       { return nil }
