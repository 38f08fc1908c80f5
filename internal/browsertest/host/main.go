// Host is the program that the tests of package browsertest open in a browser: the console under
// a prefix, with a sign-in by cookie and calls of the Manager for the tests.
//
//	go run ./host -listen 127.0.0.1:8080 -demo
//
// It is a trial, not an example: every caller may do anything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/sqlite"
	"github.com/incidentkit/incident/web/console"
)

// prefix is where the console is mounted.
const prefix = "/incidents"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	file := flag.String("file", "", "SQLite file; empty for a store in memory")
	demo := flag.Bool("demo", false, "fill the organization acme")
	still := flag.Bool("still", false, "without Manager.Run: pages are not live")
	flag.Parse()

	var clock clock
	incidents, closeStore, err := openStore(ctx, *file, &clock)
	if err != nil {
		return err
	}
	defer closeStore()
	if *demo {
		if err := fill(ctx, incidents, &clock); err != nil {
			return err
		}
	}
	ended := make(chan error, 1)
	if *still {
		ended <- nil
	} else {
		go func() { ended <- incidents.Run(ctx) }()
		for !incidents.Stats().Running {
			time.Sleep(time.Millisecond)
		}
	}
	return errors.Join(serve(ctx, *listen, incidents), <-ended)
}

// openStore returns a Manager whose notifier fails for incidents with the label pager=broken.
func openStore(ctx context.Context, file string, c *clock) (incident.Manager, func(), error) {
	opts := &incident.Options{Now: c.now, Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
		if n.Incident.Labels["pager"] == "broken" {
			return fmt.Errorf("the pager answered 410 Gone: %w", incident.ErrUndeliverable)
		}
		return nil
	})}
	if file == "" {
		m, err := incident.New(memory.New(), opts)
		return m, func() {}, err
	}
	store, err := sqlite.Open(ctx, file, &sqlite.Options{Synchronous: sqlite.SynchronousNormal})
	if err != nil {
		return nil, nil, err
	}
	m, err := incident.New(store, opts)
	return m, func() { _ = store.Close() }, err
}

// serve answers requests until ctx ends, and prints its address first.
func serve(ctx context.Context, listen string, incidents incident.Manager) error {
	pages, err := console.New(incidents, options())
	if err != nil {
		return err
	}
	streams := &counter{next: http.StripPrefix(prefix, pages)}
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", streams)
	mux.Handle("/control/", &control{incidents: incidents, streams: streams})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Printf("http://%s%s/\n", listener.Addr(), prefix)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
