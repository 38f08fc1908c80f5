// Httpapi is a host of package incident: it serves the endpoints of Sentry's incidents
// module with net/http, and is a start for a host of your own.
//
//	go run ./examples/httpapi
//
// This serves a demonstration from memory and prints a curl command to begin with. With -db FILE
// the incidents are in a SQLite file, and outlive the program.
//
// The library has no HTTP, no users and no tokens. All of that is here, a file for each
// concern:
//
//   - routes.go maps paths to handlers.
//   - incidents.go, activity.go, seen.go, subscriptions.go, reminders.go and parked.go have
//     the handlers of each noun. parked.go also has the notifier.
//   - auth.go and tokens.go know the users.
//   - errors.go maps the library's errors to statuses.
//   - decode.go reads requests; answer.go and encode.go write responses, and expand.go
//     decides on parts that Sentry's API does not have.
//   - middleware.go and server.go have logging and limits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/openstore"
	"github.com/incidentkit/incident/examples/internal/statuspage"
)

const usage = `Usage: httpapi [-addr ADDR] [-db FILE | -dsn DSN] [-tokens FILE] [-import FILE]

Serves the incidents of organizations over HTTP. The API is described at
/openapi.json. An interrupt stops it after the requests in progress.

  -addr ADDR    the address to listen on (default localhost:8080)
  -db FILE      the SQLite file of the incidents, which is created if it is
                missing (default: in memory)
  -dsn DSN      the PostgreSQL database of the incidents, such as
                postgres://user:password@host:5432/name. The tables are created
                in it
  -tokens FILE  the users and the SHA-256 of their tokens (default: a
                demonstration with a new token, which is printed). Tokens must
                be random and long. The format of the file is
                {"tokens": [{"sha256": "…", "user": "ada", "organizations": {
                  "acme": {"projects": ["checkout"]},
                  "globex": {"allProjects": true}}}]}
  -import FILE  first import this file, as served by a page of Atlassian
                Statuspage at /api/v2/incidents.json or
                /api/v2/scheduled-maintenances.json, or by its own API at
                /v1/pages/PAGE/incidents. The page's id becomes the
                organization. Records that cannot be used are logged and left
                out
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status: 0, 1 for a failure, 2 for wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a, err := parseArgs(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "httpapi: %v; -help shows the usage\n", err)
		return 2
	}
	if err := listenAndServe(ctx, a, stdout, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "httpapi: %v\n", err)
		return 1
	}
	return 0
}

// arguments are the command-line arguments.
type arguments struct {
	addr, db, dsn, tokens, history string
}

func parseArgs(args []string) (a arguments, err error) {
	flags := flag.NewFlagSet("httpapi", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, or the usage
	flags.StringVar(&a.addr, "addr", "localhost:8080", "")
	flags.StringVar(&a.db, "db", "", "")
	flags.StringVar(&a.dsn, "dsn", "", "")
	flags.StringVar(&a.tokens, "tokens", "", "")
	flags.StringVar(&a.history, "import", "", "")
	if err := flags.Parse(args); err != nil {
		return a, err
	}
	if flags.NArg() > 0 {
		return a, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return a, openstore.Check(a.db, a.dsn)
}

func listenAndServe(ctx context.Context, a arguments, stdout io.Writer, log *slog.Logger) error {
	past, err := readHistory(a.history)
	if err != nil {
		return err
	}
	organization := demoOrganization
	if past != nil {
		organization = past.Page
	}
	people, token, err := openDirectory(a.tokens, organization)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	defer listener.Close() // serve closes it first
	store, closeStore, err := openstore.Open(ctx, a.db, a.dsn)
	if err != nil {
		return err
	}
	defer closeStore()
	o := &incident.Options{Authorizer: people, Logger: log}
	o.Notifier, o.Notify = logNotifications(log)
	incidents, err := incident.New(store, o)
	if err != nil {
		return err
	}
	defer runInBackground(ctx, incidents, log)()
	if err := fill(ctx, incidents, past, token != "", stdout, log); err != nil {
		return err
	}
	greet(stdout, listener.Addr(), token, incident.Key{OrganizationID: organization, Identifier: 1})
	l := defaultLimits
	api := &api{incidents: incidents, people: people, log: log, timeout: l.handle}
	return serve(ctx, newServer(api.handler(), l, log), listener, l.shutdown)
}

// runInBackground runs the Manager until stop is called: it follows the writes of other
// processes, and delivers notifications. It returns when the Manager runs.
func runInBackground(ctx context.Context, incidents incident.Manager, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		defer cancel()
		if err := incidents.Run(ctx); err != nil {
			log.Error("background work ended", "error", err)
		}
	})
	for !incidents.Stats().Running && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// greet prints the address of the API and, if a token was made, a command to try.
func greet(stdout io.Writer, addr net.Addr, token string, key incident.Key) {
	fmt.Fprintf(stdout, "Serving on http://%s; the API is described at http://%[1]s%s\n", addr, openAPIPath)
	if token != "" {
		fmt.Fprintf(stdout, "There is a token for this run:\n\n  curl -H 'Authorization: Bearer %s' 'http://%s%s'\n\n", token, addr, incidentURL(key))
	}
}

// openDirectory reads the file or, without a file, makes a directory with a token for the
// organization.
func openDirectory(file string, organization incident.OrganizationID) (people *directory, token string, err error) {
	if file != "" {
		people, err = readDirectory(file)
		return people, "", err
	}
	people, token = newDemoDirectory(organization)
	return people, token, nil
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

// fill imports the history, if any. Otherwise a demonstration gets its incidents.
func fill(ctx context.Context, incidents incident.Manager, past *statuspage.History, demo bool, stdout io.Writer, log *slog.Logger) error {
	if past == nil {
		if demo {
			return fillDemo(ctx, incidents)
		}
		return nil
	}
	added, err := statuspage.Import(ctx, incidents, past, func(int) {})
	if leftOut, ok := errors.AsType[*statuspage.LeftOut](err); ok {
		for _, fault := range leftOut.Faults {
			log.Warn("a record was left out", "error", fault)
		}
		log.Warn("the import is incomplete", "leftOut", leftOut.Len())
		err = nil
	}
	if err == nil {
		fmt.Fprintf(stdout, "Import: %v\n", added)
	}
	return err
}
