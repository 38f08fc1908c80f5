package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

const (
	benchRounds = 9
	benchCalls  = 3000
	benchBar    = 0.6 // required speed relative to a handler that writes a constant
)

// contender is a side of the comparison: n calls, each on its own connection.
type contender struct {
	what, how string
	prepare   func(n int)
	call      func(conn, n int) error

	speeds, p99s []float64 // per round: calls per second, and microseconds
}

// BenchmarkHTTP measures requests per second and the 99th percentile of their duration,
// over loopback with keep-alive connections, side by side with the same calls made
// directly on the Manager. The contenders take turns; the medians of the rounds are
// shown. The server is the example's own, with a discarded log and incidents in memory.
func BenchmarkHTTP(b *testing.B) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\nrequest\tby way of\tconnections\tcalls/s\tp99 µs\t\n")
	for _, conns := range []int{1, 16} {
		for _, contenders := range []func(*benchWorld, int) []*contender{detailsContenders, listContenders, closeContenders} {
			turns(b, out, conns, contenders(newBenchWorld(b), conns))
		}
	}
	out.Flush()
}

// turns measures contenders in turn. If there are three, the last writes a constant, and
// the first must reach a fraction of its speed.
func turns(b *testing.B, out io.Writer, conns int, contenders []*contender) {
	b.Helper()
	for round := range benchRounds + 1 {
		for _, c := range contenders {
			c.run(b, conns, round > 0) // the first warms up
		}
	}
	for _, c := range contenders {
		fmt.Fprintf(out, "%s\t%s\t%d\t%.0f\t%.0f\t\n", c.what, c.how, conns, median(c.speeds), median(c.p99s))
	}
	if len(contenders) < 3 {
		return
	}
	ratio := median(ratios(contenders[0].speeds, contenders[2].speeds))
	fmt.Fprintf(out, "\tHTTP / a constant\t%d\t%.2f\t\t\n", conns, ratio)
	if ratio < benchBar {
		b.Errorf("details by HTTP over %d connections have %.2f of the speed of a constant; the bar is %.2f", conns, ratio, benchBar)
	}
}

func (c *contender) run(b *testing.B, conns int, counts bool) {
	b.Helper()
	n := benchCalls
	if c.prepare != nil {
		c.prepare(n)
	}
	runtime.GC() // collects the garbage of the previous turn
	took := make([]float64, n)
	var running sync.WaitGroup
	errs := make(chan error, conns)
	start := time.Now()
	for conn := range conns {
		running.Go(func() {
			for i := conn; i < n; i += conns {
				began := time.Now()
				if err := c.call(conn, i); err != nil {
					errs <- err
					return
				}
				took[i] = float64(time.Since(began).Nanoseconds()) / 1e3
			}
		})
	}
	running.Wait()
	speed := float64(n) / time.Since(start).Seconds()
	select {
	case err := <-errs:
		b.Fatalf("%s by %s: %v", c.what, c.how, err)
	default:
	}
	if counts {
		slices.Sort(took)
		c.speeds, c.p99s = append(c.speeds, speed), append(c.p99s, took[n*99/100])
	}
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

func ratios(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return r
}

// benchWorld is the server, a server of a constant, and their content.
type benchWorld struct {
	b             *testing.B
	incidents     incident.Manager
	token         string
	api, constant string // addresses
	details       incident.Key
	closing       []incident.Key
}

func newBenchWorld(b *testing.B) *benchWorld {
	b.Helper()
	people, token := newDemoDirectory("acme")
	m, err := incident.New(memory.New(), &incident.Options{Authorizer: people})
	if err != nil {
		b.Fatal(err)
	}
	w := &benchWorld{b: b, incidents: m, token: token}
	for range 1000 {
		w.create()
	}
	w.details = w.create()
	for _, user := range []incident.UserID{"ada", "grace"} {
		if _, err := m.MarkSeen(b.Context(), w.details, user); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Comment(b.Context(), w.details, incident.NewComment{UserID: user, Comment: "The last deploy did it, rolling back."}); err != nil {
			b.Fatal(err)
		}
	}
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	api := &api{incidents: m, people: people, log: log, timeout: defaultLimits.handle}
	w.api = w.serve(api.handler(), log)
	w.constant = w.serve(w.constantHandler(), log)
	return w
}

// constantHandler writes the details' bytes.
func (w *benchWorld) constantHandler() http.Handler {
	c := w.dial(w.api)
	if err := c.get("GET", incidentURL(w.details), "", 200); err != nil {
		w.b.Fatal(err)
	}
	body := c.body
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"{identifier}/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	return mux
}

func (w *benchWorld) serve(h http.Handler, log *slog.Logger) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.b.Fatal(err)
	}
	server := newServer(h, defaultLimits, log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	w.b.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return listener.Addr().String()
}

// create makes an incident with two triggers.
func (w *benchWorld) create() incident.Key {
	var r incident.Result
	for _, trigger := range []incident.TriggerID{"above-5-percent", "above-20-percent"} {
		var err error
		r, err = w.incidents.Fire(w.b.Context(), incident.Firing{
			Slot: incident.Slot{
				OrganizationID: "acme", AlertRuleID: incident.AlertRuleID("rule-" + strconv.Itoa(len(w.closing))), ProjectID: "checkout",
			},
			TriggerID: trigger, Severity: incident.StatusCritical, Title: "Checkout error rate is too high",
		})
		if err != nil {
			w.b.Fatal(err)
		}
	}
	w.closing = append(w.closing, r.Key())
	return r.Key()
}

// byHTTP returns calls over connections of their own.
func (w *benchWorld) byHTTP(conns int, address, method, body string, path func(n int) string) func(conn, n int) error {
	clients := make([]*client, conns)
	for i := range clients {
		clients[i] = w.dial(address)
	}
	return func(conn, n int) error { return clients[conn].get(method, path(n), body, 200) }
}

func detailsContenders(w *benchWorld, conns int) []*contender {
	path := func(int) string { return incidentURL(w.details) }
	return []*contender{
		{what: "details", how: "HTTP", call: w.byHTTP(conns, w.api, "GET", "", path)},
		{what: "details", how: "the Manager", call: func(int, int) error { return w.readDetails(w.details) }},
		{what: "details", how: "HTTP, a constant", call: w.byHTTP(conns, w.constant, "GET", "", path)},
	}
}

func listContenders(w *benchWorld, conns int) []*contender {
	path := func(int) string { return list("acme") }
	return []*contender{
		{what: "list", how: "HTTP", call: w.byHTTP(conns, w.api, "GET", "", path)},
		{what: "list", how: "the Manager", call: func(int, int) error {
			_, err := w.incidents.List(context.Background(), incident.IncidentFilter{OrganizationID: "acme"})
			return err
		}},
	}
}

func closeContenders(w *benchWorld, conns int) []*contender {
	path := func(n int) string { return incidentURL(w.closing[n]) }
	return []*contender{
		{what: "close", how: "HTTP", prepare: w.reopen, call: w.byHTTP(conns, w.api, "PUT", `{"status":2}`, path)},
		{what: "close", how: "the Manager", prepare: w.reopen, call: func(_, n int) error { return w.close(w.closing[n]) }},
	}
}

// reopen creates n incidents that can be closed.
func (w *benchWorld) reopen(n int) {
	w.closing = w.closing[:0]
	for range n {
		w.createUnnamed()
	}
}

func (w *benchWorld) createUnnamed() {
	r, err := w.incidents.Create(w.b.Context(), incident.NewIncident{
		OrganizationID: "acme", Title: "Checkout error rate is too high", Projects: []incident.ProjectID{"checkout"},
	})
	if err != nil {
		w.b.Fatal(err)
	}
	w.closing = append(w.closing, r.Key())
}

// readDetails and close are the calls that the handlers make.
func (w *benchWorld) readDetails(key incident.Key) error {
	if _, err := w.incidents.Details(context.Background(), key, "ada"); err != nil {
		return err
	}
	_, err := w.incidents.Activities(context.Background(), key, incident.ActivityFilter{})
	return err
}

func (w *benchWorld) close(key incident.Key) error {
	if _, err := w.incidents.Get(context.Background(), key); err != nil {
		return err
	}
	_, err := w.incidents.UpdateStatus(context.Background(), key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: "ada"})
	if err != nil {
		return err
	}
	return w.readDetails(key)
}

// client is a keep-alive connection.
type client struct {
	http  *http.Client
	url   string
	token string
	body  []byte
}

func (w *benchWorld) dial(address string) *client {
	transport := &http.Transport{MaxConnsPerHost: 1}
	w.b.Cleanup(transport.CloseIdleConnections)
	return &client{http: &http.Client{Transport: transport}, url: "http://" + address, token: w.token}
}

// get sends a request and reads the body of the response.
func (c *client) get(method, path, body string, want int) error {
	r, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if c.body, err = io.ReadAll(res.Body); err == nil && res.StatusCode != want {
		err = fmt.Errorf("%d %s", res.StatusCode, c.body)
	}
	return err
}
