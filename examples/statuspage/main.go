// Statuspage imports the incident history of an Atlassian Statuspage and prints a report.
// Every page publishes its history at /api/v2/incidents.json:
//
//	go run ./examples/statuspage examples/statuspage/testdata/sample.json
//	curl -s https://status.example.com/api/v2/incidents.json | go run ./examples/statuspage
//
// It shows a host whose writes are all idempotent: each has a key made from the page's
// own IDs. So importing the same file again, or a newer file of the same page, adds only
// new data. With -db or -dsn the data lasts between runs. A record that cannot be used is reported
// and left out.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/openstore"
	"github.com/incidentkit/incident/examples/internal/statuspage"
)

const usage = `Usage: statuspage [-db FILE | -dsn DSN] [-strict] [-times N] [FILE]

Imports the incidents of a status page and prints a report of them.

FILE is as served by a page of Atlassian Statuspage at /api/v2/incidents.json
or /api/v2/scheduled-maintenances.json, or by its own API at
/v1/pages/PAGE/incidents, at most 64 MiB. Without FILE, or with -, it is read
from standard input. A maintenance is imported once it has begun.

An incident or an update that cannot be used is left out. All others are
imported. Standard error lists at most 100 faults, each after its position,
FILE:LINE:COLUMN, and counts the others. Columns count bytes.

  -db FILE  the SQLite file of the incidents, which is created if it is missing
            (default: in memory)
  -dsn DSN  the PostgreSQL database of the incidents, such as
            postgres://user:password@host:5432/name. The tables are created in
            it
  -strict   import nothing if a record cannot be used, an update has no text or
            an incident has more than 100 components
  -times N  import N times into the same store; repetitions add nothing
            (default 1)

The exit status is 0 for success, 1 if nothing was imported or the report
failed, 2 for wrong usage, and 3 if records were left out.
`

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status: 0, 1 for a failure, 2 for wrong usage, 3
// for an import that has left out records.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a, err := parseArgs(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "statuspage: %v; -help shows the usage\n", err)
		return 2
	}
	err = importAndReport(ctx, a, stdin, stdout, stderr)
	if errors.Is(err, context.Canceled) {
		err = errors.New("statuspage: interrupted")
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, err)
	if _, ok := errors.AsType[*statuspage.LeftOut](err); ok {
		return 3
	}
	return 1
}

// arguments are the command-line arguments.
type arguments struct {
	db     string // the SQLite file, or empty
	dsn    string // of PostgreSQL, or empty
	strict bool
	times  int
	file   string // - for standard input
}

func parseArgs(args []string) (a arguments, err error) {
	flags := flag.NewFlagSet("statuspage", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error, or the usage
	flags.StringVar(&a.db, "db", "", "")
	flags.StringVar(&a.dsn, "dsn", "", "")
	flags.BoolVar(&a.strict, "strict", false, "")
	flags.IntVar(&a.times, "times", 1, "")
	if err := flags.Parse(args); err != nil {
		return a, err
	}
	if flags.NArg() > 1 {
		return a, fmt.Errorf("at most one file, not %d", flags.NArg())
	}
	if err := openstore.Check(a.db, a.dsn); err != nil {
		return a, err
	}
	if a.times < 1 {
		return a, errors.New("-times must be at least 1")
	}
	a.file = cmp.Or(flags.Arg(0), "-")
	return a, nil
}

// importAndReport returns a [statuspage.LeftOut] after the report if the import has left out
// records.
func importAndReport(ctx context.Context, a arguments, stdin io.Reader, stdout, stderr io.Writer) error {
	past, err := readHistory(a, stdin)
	if err != nil {
		return err
	}

	// Interrupts are handled only from here on. Reading the file has nothing to undo, and
	// reading standard input would not notice that the context has ended.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	store, closeStore, err := openstore.Open(ctx, a.db, a.dsn)
	if err != nil {
		return err
	}
	defer closeStore()
	incidents, err := incident.New(store, &incident.Options{Cache: incident.NoCache}) // nothing calls Run
	if err != nil {
		return err
	}
	progress := newProgress(stderr, past.Len())
	var leftOut *statuspage.LeftOut
	for n := range a.times {
		added, err := statuspage.Import(ctx, incidents, past, progress.show)
		progress.clear()
		if err != nil && !errors.As(err, &leftOut) {
			return err
		}
		fmt.Fprintf(stdout, "Import %d: %v\n", n+1, added)
	}
	r, err := readReport(ctx, incidents, past.Page)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "\n%v", r); err != nil {
		return err
	}
	if leftOut != nil {
		return leftOut
	}
	return nil
}

// readHistory reads the file, or standard input for "-".
func readHistory(a arguments, stdin io.Reader) (*statuspage.History, error) {
	name, input := "stdin", stdin
	if a.file != "-" {
		f, err := os.Open(a.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		name, input = a.file, f
	}
	return statuspage.Options{Strict: a.strict}.Read(name, input)
}
