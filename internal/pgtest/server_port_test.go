//go:build unix

package pgtest

import "testing"

// A server whose port another server has taken starts at another port.
func TestServer_Restart_portTaken(t *testing.T) {
	first, err := StartOwn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Stop)
	second, err := StartOwn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	second.Kill()
	second.port, second.url = first.port, ""
	if err := second.Restart(); err != nil {
		t.Fatal(err)
	}
	if second.port == first.port {
		t.Errorf("both servers have port %d", first.port)
	}
	if err := second.isAt(second.url); err != nil {
		t.Error(err)
	}
}
