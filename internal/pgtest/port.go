package pgtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports of FreePort are below the range that systems use for outgoing connections: an outgoing
// connection could take the port of a server that is restarting.
const firstPort, lastPort = 20_000, 29_999

// markDistance is the distance of a port to its mark. The marks are outside the range of ports, because a
// program may use its port for UDP, too.
const markDistance = -10_000

// marks are the reservations of this process. A reservation is a UDP socket at another port, which the
// system closes at the end of the process in any case.
var marks struct {
	mu  sync.Mutex // guards all
	all []net.PacketConn
}

// FreePort returns a port at which nothing listens, and which no other call returns, in this process or
// another, until this process ends. So a server that restarts finds its port free.
func FreePort() (port int, err error) { return freePort(firstPort, lastPort) }

func freePort(first, last int) (port int, err error) {
	for range 100 {
		port = first + rand.IntN(last-first+1)
		if err = reserve(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("pgtest: no free port: %w", err)
}

// reserve marks a port that is free.
func reserve(port int) error {
	mark, err := net.ListenPacket("udp", local(port+markDistance))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", local(port))
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		mark.Close()
		return err
	}
	marks.mu.Lock()
	defer marks.mu.Unlock()
	marks.all = append(marks.all, mark)
	return nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
