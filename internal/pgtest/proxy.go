package pgtest

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Cut is how a connection ends.
type Cut int

// The ways to cut a connection.
const (
	CutFIN Cut = iota // an orderly end
	CutRST            // a reset
)

// Fault is what a proxy does to a round trip.
type Fault int

// The faults of a round trip.
const (
	// LoseReply lets the server do all of it, drops its reply and cuts the
	// client's connection.
	LoseReply Fault = iota + 1
	// LoseRequest cuts the connection before the server gets anything.
	LoseRequest
	// Silence lets the server do all of it, drops its reply and leaves the
	// connection open.
	Silence
)

// Proxy stands before a server, counts round trips and does harm to them. It
// understands as much of the protocol as that takes, and no TLS. A round trip is a
// Sync or a Query, after the connection has been set up.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards what is below
	target  *url.URL
	conns   map[net.Conn]bool
	trips   int
	fault   Fault
	cut     Cut
	from    int // the first round trip that the fault is done to
	left    int // how many more it will be done to
	done    int // how many it was done to
	refused bool
	closed  bool
}

// NewProxy starts a proxy before the server of a URL. It ends with the test.
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

// URL is the server's, by way of the proxy.
func (p *Proxy) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := *p.target
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Do does a fault to the n-th round trip from now, the next one being the first,
// and to those that follow it, count in all.
func (p *Proxy) Do(fault Fault, cut Cut, n, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.cut, p.from, p.left, p.done = fault, cut, p.trips+n, count, 0
}

// Heal ends all faults and cuts all connections, and returns how many round trips
// the last fault was done to.
func (p *Proxy) Heal() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.refused = 0, false
	p.cutAll()
	return p.done
}

// Refuse cuts all connections, and new ones as soon as they are made.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = true
	p.cutAll()
}

// RoundTrips is how many there were.
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

// trip counts a round trip, and says what happens to it.
func (p *Proxy) trip() (Fault, Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips++
	if p.trips < p.from || p.left == 0 {
		return 0, p.cut
	}
	p.left--
	p.done++
	return p.fault, p.cut
}

// keep registers a connection, so that it is closed with the proxy.
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

// link is one connection through the proxy.
type link struct {
	*Proxy
	client, server net.Conn

	mu    sync.Mutex // guards what is below
	fault Fault      // of the round trip on its way
	cut   Cut
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

// sslRequest is the code of a client that asks for TLS.
const sslRequest = 80877103

// start forwards what comes before the messages that have a type.
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

// requests forwards what the client sends, a round trip at a time.
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
			fault, cut := l.trip()
			if fault == LoseRequest {
				l.end(cut)
				return
			}
			l.mu.Lock()
			l.fault, l.cut = fault, cut
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

// replies forwards what the server sends, but for the replies that are lost.
func (l *link) replies() {
	for {
		kind, message, err := readMessage(l.server)
		if err != nil {
			l.client.Close()
			return
		}
		l.mu.Lock()
		fault, cut := l.fault, l.cut
		l.mu.Unlock()
		switch {
		case fault == 0:
			if _, err := l.client.Write(message); err != nil {
				return
			}
		case fault == LoseReply && kind == 'Z': // all is done, and committed
			l.end(cut)
			return
		}
	}
}

// end cuts the client's connection, and the server's with it.
func (l *link) end(cut Cut) {
	if tcp, ok := l.client.(*net.TCPConn); ok && cut == CutRST {
		_ = tcp.SetLinger(0) // a closed connection is cut already
	}
	l.client.Close()
	l.server.Close()
}

// readMessage reads a message with its head: its type, and its length without
// that.
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
