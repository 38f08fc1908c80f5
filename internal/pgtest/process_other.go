//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
)

var errPlatform = errors.New("pgtest: no server can be started on this platform; name one in " + EnvURL)

func asUnprivileged(*exec.Cmd) error { return errPlatform }
func giveAway(string) error          { return errPlatform }
func killAll(int)                    {}
