package pgtest

import (
	"net"
	"testing"
)

// No call returns the port of a server that is not running at the moment.
func TestFreePort_staysReserved(t *testing.T) {
	t.Parallel()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := freePort(port, port); err == nil {
		t.Errorf("port %d is free although it is reserved", again)
	}
}

// No call returns a port at which another program listens.
func TestFreePort_inUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if port, err := freePort(port, port); err == nil {
		t.Errorf("port %d is in use", port)
	}
}
