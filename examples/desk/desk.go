package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/statuspage"
	"github.com/incidentkit/incident/store/sqlite"
	"github.com/incidentkit/incident/telemetry/prometheus"
	"github.com/incidentkit/incident/web/alertmanager"
	"github.com/incidentkit/incident/web/console"
	"github.com/incidentkit/incident/web/events"
	"github.com/incidentkit/incident/web/webhook"
)

// keep is how long closed incidents are kept. A Statuspage's history reaches back for years.
const keep = 5 * 365 * 24 * time.Hour

// serveDesk opens the file, fills it if it is empty, and serves until ctx ends.
func serveDesk(ctx context.Context, a arguments, stdout io.Writer, log *slog.Logger) error {
	past, err := readHistory(a.history)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", a.listen)
	if err != nil {
		return err
	}
	defer listener.Close() // serve closes it first
	store, err := sqlite.Open(ctx, a.db, nil)
	if err != nil {
		return err
	}
	defer store.Close() // everything written is committed
	d := &desk{arguments: a, log: log, organization: demoOrganization}
	if past != nil {
		d.organization = past.Page
	}
	// Incidents of the past are nobody's news: a Manager without a notifier writes them.
	if err := fill(ctx, store, past, stdout, log); err != nil {
		return err
	}
	if err := d.open(store); err != nil {
		return err
	}
	defer d.close()
	handler, err := d.handler()
	if err != nil {
		return err
	}
	ctx, stop := d.runInBackground(ctx)
	defer stop()
	d.greet(stdout, listener.Addr())
	return serve(ctx, newServer(handler, log), listener)
}

// desk is the program at work.
type desk struct {
	arguments
	log          *slog.Logger
	organization incident.OrganizationID // of the endpoints
	incidents    incident.Manager
	notifier     *webhook.Notifier // nil without -webhook
}

// open makes the Manager.
func (d *desk) open(store incident.Store) error {
	o := &incident.Options{Authorizer: demoAuthorizer, Logger: d.log, Retention: incident.Retention{Keep: keep}}
	if d.webhook != "" {
		secret, err := d.webhookSecret()
		if err != nil {
			return err
		}
		if d.notifier, err = webhook.NewNotifier(d.webhook, []webhook.Secret{secret}, nil); err != nil {
			return err
		}
		o.Notifier, o.Notify = d.notifier, webhook.NotifyOptions()
	}
	var err error
	d.incidents, err = incident.New(store, o)
	return err
}

// webhookSecret returns the secret of the environment. Without one it makes a secret, and keeps it to
// be printed.
func (d *desk) webhookSecret() (webhook.Secret, error) {
	if d.secret == "" {
		d.secret = webhook.NewSecret().Text()
	}
	return webhook.ParseSecret(d.secret)
}

func (d *desk) close() {
	if d.notifier != nil {
		d.notifier.Close()
	}
}

// handler returns all endpoints.
func (d *desk) handler() (http.Handler, error) {
	pages, err := console.New(d.incidents, &console.Options{
		Authenticate: viewerOf,
		SignIn:       signInPath,
		Title:        "Incident desk",
		Assignees:    assignees,
		Logger:       d.log,
	})
	if err != nil {
		return nil, err
	}
	reported, err := events.New(d.incidents, &events.Options{
		Routes: []events.Route{{Key: d.key, OrganizationID: d.organization, ProjectID: "checkout", ReopenWithin: 10 * time.Minute}},
		Logger: d.log,
	})
	if err != nil {
		return nil, err
	}
	alerts, err := alertmanager.New(d.incidents, &alertmanager.Options{
		Organization: d.organization,
		Tokens:       []string{d.key},
		ProjectLabel: "service",
		Project:      "platform",
		Logger:       d.log,
	})
	if err != nil {
		return nil, err
	}
	metrics := client.NewRegistry()
	if err := metrics.Register(prometheus.NewCollector(d.incidents, nil)); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler(pagesPath+"/", http.StatusSeeOther))
	mux.Handle(pagesPath+"/", http.StripPrefix(pagesPath, pages))
	mux.Handle(signInPath, http.NewCrossOriginProtection().Handler(&signIn{d.incidents, d.log}))
	mux.Handle("/v2/enqueue", reported)
	mux.Handle(alertsPath, alerts)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux, nil
}

const (
	pagesPath  = "/incidents"
	signInPath = "/sign-in"
	alertsPath = "/alertmanager"
)

// runInBackground runs the Manager until stop is called. The returned context ends if the Manager
// stops by itself.
func (d *desk) runInBackground(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		err := d.incidents.Run(ctx)
		if err != nil {
			d.log.Error("background work ended", "error", err)
		}
		cancel(err)
	})
	return ctx, func() {
		cancel(nil)
		running.Wait()
	}
}

// greet prints the addresses.
func (d *desk) greet(w io.Writer, addr net.Addr) {
	fmt.Fprintf(w, "The incidents are in %s.\n", d.db)
	if d.notifier != nil {
		fmt.Fprintf(w, "Webhooks are signed with %s.\n", d.secret)
	}
	fmt.Fprintf(w, `Serving on http://%s/: choose a demonstration user there.

Report an incident as a monitoring tool, in PagerDuty's form:

  curl -d '{"routing_key":"%s","event_action":"trigger","payload":{"summary":"A first event","source":"curl","severity":"error"}}' http://%[1]s/v2/enqueue

Alertmanager's webhook_configs have the url http://%[1]s%[3]s and the bearer token %[2]s.
Prometheus scrapes http://%[1]s/metrics.

`, addr, d.key, alertsPath)
}

// readHistory returns nil for no file.
func readHistory(file string) (*statuspage.History, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return statuspage.Read(file, f)
}

// fill imports the history, if any. Otherwise it fills an empty store with the demonstration.
func fill(ctx context.Context, store incident.Store, past *statuspage.History, stdout io.Writer, log *slog.Logger) error {
	if past == nil {
		n, err := fillDemo(ctx, store, time.Now(), log)
		if err == nil && n > 0 {
			fmt.Fprintf(stdout, "The file was empty: %d demonstration incidents were added.\n", n)
		}
		return err
	}
	incidents, err := incident.New(store, &incident.Options{Logger: log})
	if err != nil {
		return err
	}
	added, err := statuspage.Import(ctx, incidents, past, func(int) {})
	if leftOut, ok := errors.AsType[*statuspage.LeftOut](err); ok {
		for _, fault := range leftOut.Faults {
			log.Warn("a record was left out", "error", fault)
		}
		err = nil
	}
	if err == nil {
		fmt.Fprintf(stdout, "Import: %v\n", added)
	}
	return err
}
