package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// section is a part of a run.
type section struct {
	title   string
	about   string   // the workload and its limits, before any number
	results []result // in order of measurement
	notes   []string // sentences and tables below the results
}

// begin starts a section. It receives all results and notes until the next.
func (b *bench) begin(title, about string) {
	b.sections = append(b.sections, &section{title: title, about: about})
}

func (b *bench) add(r result) {
	s := b.sections[len(b.sections)-1]
	s.results = append(s.results, r)
}

func (b *bench) note(format string, args ...any) {
	s := b.sections[len(b.sections)-1]
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// fail adds a note about a missed bar that is not a ratio.
func (b *bench) fail(format string, args ...any) {
	b.note("**%s**", fmt.Sprintf(format, args...))
	b.failed++
}

// report writes all sections in Markdown, and returns an error if a bar is missed.
func (b *bench) report(w io.Writer) error {
	missed, bars := b.failed, b.failed
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n", b.machine)
	for _, s := range b.sections {
		if len(s.results)+len(s.notes) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n## %s\n\n%s\n", s.title, s.about)
		if len(s.results) > 0 {
			fmt.Fprint(&text, "\n| call | goroutines | beside | calls/s | beside/s | ratio | min to max | bar |\n",
				"|---|---:|---|---:|---:|---:|---|---|\n")
		}
		for _, r := range s.results {
			fmt.Fprintln(&text, r)
			if r.bar > 0 {
				bars++
			}
			if r.missed() {
				missed++
			}
		}
		for _, note := range s.notes {
			fmt.Fprintf(&text, "\n%s\n", note)
		}
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d bars are missed", missed, bars)
	}
	return nil
}

// String returns the result as a row of a table.
func (r result) String() string {
	bar := ""
	if r.bar > 0 {
		bar = fmt.Sprintf("%.2f", r.bar)
	}
	if r.missed() {
		bar += " **missed**"
	}
	return fmt.Sprintf("| %s | %d | %s | %.0f | %.0f | **%.2f** | %.2f to %.2f | %s |", r.ours.name, r.goroutines, r.theirs.name,
		r.oursRate, r.theirsRate, r.ratio(), slices.Min(r.ratios), slices.Max(r.ratios), bar)
}

// describe returns the conditions of the run: machine, versions, rounds.
func describe(ctx context.Context, rounds int, length time.Duration) (string, error) {
	server, err := serverVersion(ctx)
	return fmt.Sprintf("Measured on %d × %s, with %s on %s/%s and PostgreSQL %s, which flushes each commit to its disk. "+
		"Client and server share the processors. A comparison is %d rounds in which both sides take turns of %v, after a warm-up round; "+
		"the ratio is the median of the rounds' ratios. Above 1 the library is faster.",
		runtime.NumCPU(), processor(), runtime.Version(), runtime.GOOS, runtime.GOARCH, server, rounds, length), err
}

func serverVersion(ctx context.Context) (version string, err error) {
	s, err := startServer()
	if err != nil {
		return "", err
	}
	defer s.Stop()
	db, err := s.open(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.GetContext(ctx, &version, "SELECT split_part(current_setting('server_version'), ' ', 1)")
	return version, err
}

// processor returns the model name of the processor, if the system reveals it.
func processor() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// below is the line of a document under which the results are written.
const below = "<!-- Below are the results of one run. The program writes them. -->\n"

// rewrite replaces the results of an earlier run in a document.
func rewrite(path string, results []byte) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, _, found := strings.Cut(string(content), below)
	if !found {
		return fmt.Errorf("%s does not have the line %q", path, strings.TrimSpace(below))
	}
	return os.WriteFile(path, []byte(head+below+"\n"+string(results)), 0o644)
}
