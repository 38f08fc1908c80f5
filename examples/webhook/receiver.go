package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/web/webhook"
)

// receiver is a server that receives webhooks. It runs here for the demonstration;
// usually it is another program on another machine.
type receiver struct {
	url    string
	server *http.Server
	ended  chan error
}

// listen starts a receiver that counts notifications.
func listen(secrets []webhook.Secret, got *tally, fail int, log *slog.Logger) (*receiver, error) {
	handler, err := webhook.NewReceiver(secrets, got.add, &webhook.ReceiverOptions{
		Ledger: &countingLedger{Ledger: webhook.NewMemoryLedger(0), tally: got},
		Logger: log,
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{
		url: "http://" + listener.Addr().String() + "/incidents",
		server: &http.Server{
			Handler:           failing(handler, fail),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       15 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       time.Minute,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		ended: make(chan error, 1),
	}
	go func() { r.ended <- r.server.Serve(listener) }()
	return r, nil
}

func (r *receiver) close() {
	_ = r.server.Close() // no request is in progress
	<-r.ended
}

// countingLedger counts repetitions.
type countingLedger struct {
	webhook.Ledger
	tally *tally
}

func (l *countingLedger) Once(ctx context.Context, id webhook.ID, handle func(context.Context) error) (bool, error) {
	first, err := l.Ledger.Once(ctx, id, handle)
	if !first && err == nil {
		l.tally.repeat()
	}
	return first, err
}

// failing makes every n-th request fail, alternately before and after next has handled
// it. With n below 2 no request fails.
func failing(next http.Handler, n int) http.Handler {
	if n < 2 {
		return next
	}
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch count := requests.Add(1); {
		case count%int64(n) != 0:
			next.ServeHTTP(w, r)
		case count/int64(n)%2 == 1:
			http.Error(w, "it is not there", http.StatusBadGateway)
		default:
			next.ServeHTTP(discarder{http.Header{}}, r)
			http.Error(w, "its answer is lost", http.StatusBadGateway)
		}
	})
}

// discarder is a response writer that discards everything.
type discarder struct{ header http.Header }

func (d discarder) Header() http.Header            { return d.header }
func (d discarder) Write(data []byte) (int, error) { return len(data), nil }
func (d discarder) WriteHeader(int)                {}
