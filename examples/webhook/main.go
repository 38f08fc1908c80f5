// Webhook shows the delivery of notifications. It imports the incident history of an
// Atlassian Statuspage into an [incident.Manager], posts each activity to a receiver in
// the same process, and prints the received counts.
//
//	go run ./examples/webhook
//	go run ./examples/webhook -fail 10 examples/statuspage/testdata/sample.json
//
// Notifier and receiver are those of package web/webhook.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/incidentkit/incident/examples/internal/statuspage"
)

const usage = `Usage: webhook [-fail N] [FILE]

Imports the incidents of a status page, delivers all activities to a receiver of
webhooks in this process, and prints the received counts.

FILE is as served by a page of Atlassian Statuspage at /api/v2/incidents.json.
Without FILE a small sample is imported.

  -fail N  make every N-th request fail, N at least 2: alternately before and
           after the receiver has handled it (default: none)
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
		fmt.Fprintf(stderr, "webhook: %v; -help shows the usage\n", err)
		return 2
	}
	past, err := readHistory(a.file)
	if err == nil {
		err = deliverHistory(ctx, past, a.fail, stdout, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintf(stderr, "webhook: %v\n", err)
		return 1
	}
	return 0
}

// arguments are the command-line arguments.
type arguments struct {
	fail int    // 0 for none
	file string // empty for the sample
}

func parseArgs(args []string) (a arguments, err error) {
	flags := flag.NewFlagSet("webhook", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, or the usage
	flags.IntVar(&a.fail, "fail", 0, "")
	if err := flags.Parse(args); err != nil {
		return a, err
	}
	if flags.NArg() > 1 {
		return a, fmt.Errorf("at most one file, not %d", flags.NArg())
	}
	if a.fail < 0 || a.fail == 1 {
		return a, errors.New("-fail must be at least 2, or 0 for none")
	}
	a.file = flags.Arg(0)
	return a, nil
}

//go:embed sample.json
var sample []byte

func readHistory(file string) (*statuspage.History, error) {
	if file == "" {
		return statuspage.Read("sample.json", bytes.NewReader(sample))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return statuspage.Read(file, f)
}
