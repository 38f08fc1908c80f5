package pgtest

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cut is how a connection is cut.
type Cut int

// The ways to cut a connection.
const (
	CutFIN Cut = iota // orderly close
	CutRST            // reset
)

// Fault is a fault that a proxy injects into a round trip.
type Fault int

// The faults of a round trip.
const (
	// LoseReply passes the request, drops the reply and cuts the client's connection.
	LoseReply Fault = iota + 1
	// LoseRequest cuts the connection before the server receives anything.
	LoseRequest
	// Silence passes the request, drops the reply and leaves the connection open.
	Silence
)

// Proxy forwards connections to a server, counts round trips and injects faults. A round
// trip is a Sync or a Query after the connection's startup. The proxy does not support
// TLS.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	target  *url.URL
	conns   map[net.Conn]bool
	trips   int
	fault   Fault
	cut     Cut
	before  func() // called before the reply to a faulty round trip
	from    int    // number of the first faulty round trip
	left    int    // round trips that are still to be faulty
	done    int    // round trips that were faulty
	refused bool
	closed  bool
}

// NewProxy starts a proxy before the server of a URL. It stops at the end of the test.
func NewProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL returns the server's URL through the proxy.
func (p *Proxy) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := *p.target
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Do injects a fault into count round trips, beginning with the n-th from now. 1 is the
// next.
func (p *Proxy) Do(fault Fault, cut Cut, n, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.cut, p.before, p.from, p.left, p.done = fault, cut, nil, p.trips+n, count, 0
}

// Before calls f before it passes the reply to the n-th round trip from now. The server has
// committed by then, unless the reply is long. Heal counts the round trip as faulty.
func (p *Proxy) Before(n int, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.before, p.from, p.left, p.done = 0, f, p.trips+n, 1, 0
}

// Heal ends all faults, cuts all connections, and returns the number of round trips that
// the last fault affected.
func (p *Proxy) Heal() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.refused = 0, false
	p.cutAll()
	return p.done
}

// Refuse cuts all connections, and every new connection once it is accepted.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = true
	p.cutAll()
}

// RoundTrips returns the number of round trips so far.
func (p *Proxy) RoundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips
}

func (p *Proxy) cutAll() {
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.cutAll()
	p.mu.Unlock()
	p.running.Wait()
}

// disturbance is the fault of a round trip.
type disturbance struct {
	fault  Fault
	cut    Cut
	before func() // called before the reply; nil for none
}

// trip counts a round trip and returns its disturbance.
func (p *Proxy) trip() disturbance {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips++
	if p.trips < p.from || p.left == 0 {
		return disturbance{}
	}
	p.left--
	p.done++
	return disturbance{p.fault, p.cut, p.before}
}

// keep registers a connection, so that it is closed with the proxy. It closes the
// connection and returns false if the proxy takes none.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refused {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(client) {
			p.running.Go(func() { p.serve(client) })
		}
	}
}

// link is a connection through the proxy.
type link struct {
	*Proxy
	client, server net.Conn

	mu  sync.Mutex  // guards now
	now disturbance // of the round trip in progress
}

func (p *Proxy) serve(client net.Conn) {
	defer p.forget(client)
	server, err := net.Dial("tcp", p.host())
	if err != nil || !p.keep(server) {
		return
	}
	defer p.forget(server)
	l := &link{Proxy: p, client: client, server: server}
	p.running.Go(l.replies)
	l.requests()
}

// sslRequest is the code by which a client asks for TLS.
const sslRequest = 80877103

// start forwards the startup messages. They have no type byte.
func (l *link) start() error {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(l.client, head); err != nil {
			return err
		}
		if binary.BigEndian.Uint32(head[4:]) == sslRequest {
			if _, err := l.client.Write([]byte("N")); err != nil {
				return err
			}
			continue
		}
		rest := make([]byte, int(binary.BigEndian.Uint32(head))-len(head))
		if _, err := io.ReadFull(l.client, rest); err != nil {
			return err
		}
		_, err := l.server.Write(append(head, rest...))
		return err
	}
}

// requests forwards the client's messages, a round trip at a time.
func (l *link) requests() {
	defer l.server.Close()
	if l.start() != nil {
		return
	}
	var trip []byte
	for {
		kind, message, err := readMessage(l.client)
		if err != nil {
			return
		}
		trip = append(trip, message...)
		if kind == 'S' || kind == 'Q' {
			d := l.trip()
			if d.fault == LoseRequest {
				l.end(d.cut)
				return
			}
			l.mu.Lock()
			l.now = d
			l.mu.Unlock()
		} else if kind != 'X' && kind != 'p' {
			continue
		}
		if _, err := l.server.Write(trip); err != nil {
			return
		}
		trip = nil
	}
}

// replies forwards the server's messages, except lost replies.
func (l *link) replies() {
	for {
		kind, message, err := readMessage(l.server)
		if err != nil {
			l.client.Close()
			return
		}
		l.mu.Lock()
		d := l.now
		l.now.before = nil
		l.mu.Unlock()
		if d.before != nil {
			d.before()
		}
		switch {
		case d.fault == 0:
			if _, err := l.client.Write(message); err != nil {
				return
			}
		case d.fault == LoseReply && kind == 'Z': // the server has done everything, including the commit
			l.end(d.cut)
			return
		}
	}
}

// end cuts the client's connection and the server's.
func (l *link) end(cut Cut) {
	if tcp, ok := l.client.(*net.TCPConn); ok && cut == CutRST {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	l.client.Close()
	l.server.Close()
}

// readMessage reads a message with its head: a type byte, and a length that excludes the
// type.
func readMessage(r io.Reader) (kind byte, message []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	message = make([]byte, 1+int(binary.BigEndian.Uint32(head[1:])))
	copy(message, head)
	_, err = io.ReadFull(r, message[len(head):])
	return head[0], message, err
}

// Retarget sends new connections to another server, and cuts the existing connections.
func (p *Proxy) Retarget(server string) error {
	target, err := url.Parse(server)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.cutAll()
	return nil
}

// host returns the address of the current server.
func (p *Proxy) host() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target.Host
}
