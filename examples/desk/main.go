// Desk is a program that mounts everything a host can mount, on a SQLite file:
//
//   - the console of package web/console
//   - the endpoints for Alertmanager's webhooks and for events in PagerDuty's form, of packages
//     web/alertmanager and web/events
//   - the metrics of package telemetry/prometheus
//   - the webhook notifier of package web/webhook, with -webhook
//
// An empty file is filled with a month of demonstration incidents.
//
//	go run ./examples/desk
//	go run ./examples/desk -db desk.db -listen 127.0.0.1:9000
//	go run ./examples/desk -db history.db -import examples/statuspage/testdata/sample.json
//
// The users are for demonstration only: whoever reaches the address signs in as any of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/incidentkit/incident/web/events"
)

const usage = `Usage: desk [-db FILE] [-listen ADDR] [-key KEY] [-import FILE] [-webhook URL]

Serves a console for incidents, and receives the alerts of monitoring tools. The
incidents are in a SQLite file. A file without incidents is filled with a month of
demonstration incidents. The users are for demonstration only.

  -db FILE      the file with the incidents (default: incident-desk/desk.db in the
                user's cache directory)
  -listen ADDR  the address to listen on (default: 127.0.0.1:8080)
  -key KEY      the secret of the monitoring tools, at least 16 bytes (default: a new
                random key, which is printed)
  -import FILE  import the history of a page of Atlassian Statuspage, as served at
                /api/v2/incidents.json, instead of the demonstration. The page's id
                becomes the organization. Records that cannot be used are logged
  -webhook URL  post each activity to a URL. The environment variable WEBHOOK_SECRET
                has the secret of the signatures (default: a new secret, which is
                printed)
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
		fmt.Fprintf(stderr, "desk: %v; -help shows the usage\n", err)
		return 2
	}
	if err := serveDesk(ctx, a, stdout, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "desk: %v\n", err)
		return 1
	}
	return 0
}

// arguments are the command-line arguments.
type arguments struct {
	db, listen, key, history, webhook, secret string
}

func parseArgs(args []string) (a arguments, err error) {
	flags := flag.NewFlagSet("desk", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, or the usage
	flags.StringVar(&a.db, "db", "", "")
	flags.StringVar(&a.listen, "listen", "127.0.0.1:8080", "")
	flags.StringVar(&a.key, "key", "", "")
	flags.StringVar(&a.history, "import", "", "")
	flags.StringVar(&a.webhook, "webhook", "", "")
	if err := flags.Parse(args); err != nil {
		return a, err
	}
	if flags.NArg() > 0 {
		return a, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if a.key == "" {
		a.key = events.NewKey()
	}
	a.secret = os.Getenv("WEBHOOK_SECRET")
	if a.db == "" {
		a.db, err = defaultFile()
	}
	return a, err
}

// defaultFile returns the file in the user's cache directory, and makes its folder. A file in the
// working directory would litter a clone.
func defaultFile() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w; name a file with -db", err)
	}
	folder := filepath.Join(cache, "incident-desk")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(folder, "desk.db"), nil
}
