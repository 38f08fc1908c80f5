package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

const (
	// slowestPage is the limit of how much slower the 95th percentile of a page may be on the
	// large host.
	slowestPage = 1.5

	// largestPage is the limit of the bytes of a list of 50 incidents.
	largestPage = 60 << 10

	// restrictedProjects is the number of projects of a viewer with restricted access, of 14.
	restrictedProjects = 11

	// leastPages is the least requests of a page in a round.
	leastPages = 40
)

// consoleNow is the time of the console. The loaded incidents have started in the two years before.
var consoleNow = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// consolePages are the compared pages. A path with a verb is of a drawn incident.
//
// A list has the same number of rows on both hosts: 50, or none. Otherwise the ratio would be that of the
// rows. The numbers beside the statuses differ: they end at 100 of each status, and the small host has 100
// active incidents of all statuses together. The project "steady" has as many incidents on both hosts, the
// project "all" has all, and a restricted viewer may see six sevenths of the active incidents.
var consolePages = []struct{ name, path string }{
	{"List of active incidents", "/"},
	{"List of all", "/?status=all"},
	{"List of closed", "/?status=closed"},
	{"List of critical and warning", "/?status=critical&status=warning"},
	{"List of a project", "/?status=all&project=all"},
	{"List of a project, active", "/?project=all"},
	{"List of a project that does not grow, active", "/?project=steady"},
	{"List of a project that does not grow, critical and warning", "/?status=critical&status=warning&project=steady"},
	{"List of a rule", "/?status=all&rule=busy"},
	{"List of a title", "/?status=all&q=Latency"},
	{"List of an assignee", "/?status=all&assignee=ada"},
	{"List of an assignee, active", "/?assignee=ada"},
	{"List of a label, closed", "/?status=closed&label=team%3Dpayments"},
	{"List of a window", "/?status=all&from=2025-03-01&to=2025-12-01"},
	{"List that is empty", "/?project=none"},
	{"Incident", "/incidents/%d"},
	{"Lanes of 30 days", "/lanes?window=30d"},
	{"Lanes of 30 days, by rule", "/lanes?window=30d&by=rule"},
}

// consoleSide is a console over a host, and what its requests took.
type consoleSide struct {
	*loaded
	pages http.Handler
	took  []time.Duration
	bytes int // of the last page
	rows  int // of the last page, if it is a list
}

func newConsoleSide(host *loaded, viewer console.Viewer) (*consoleSide, error) {
	viewer.Organization, viewer.User = host.org, "user-1"
	pages, err := console.New(host, &console.Options{
		Authenticate: func(*http.Request) (console.Viewer, error) { return viewer, nil },
		Now:          func() time.Time { return consoleNow },
	})
	return &consoleSide{loaded: host, pages: pages}, err
}

// get requests a page once.
func (s *consoleSide) get(ctx context.Context, path string) error {
	if path == "/incidents/%d" {
		path = fmt.Sprintf(path, s.key().Identifier)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	answer := httptest.NewRecorder()
	start := time.Now()
	s.pages.ServeHTTP(answer, r)
	s.took = append(s.took, time.Since(start))
	s.rows = bytes.Count(answer.Body.Bytes(), []byte(`class="row"`))
	if s.bytes = answer.Body.Len(); answer.Code != http.StatusOK {
		return fmt.Errorf("GET %s has status %d: %s", path, answer.Code, answer.Body)
	}
	return nil
}

// console compares the pages of a large host with those of a small host.
func (b *bench) console(ctx context.Context) error {
	s, err := startServer(scaleSettings)
	if err != nil {
		return err
	}
	defer s.Stop()
	few, err := s.load(ctx, small)
	if err != nil {
		return err
	}
	many, err := s.load(ctx, b.incidents)
	if err != nil {
		return err
	}
	b.begin("Console", b.aboutConsole()+fmt.Sprintf(" The limit of the ratio is %.1f.", slowestPage))
	return b.compareConsoles(ctx, few, many, slowestPage)
}

// sqliteConsole compares the same pages on two SQLite files.
func (b *bench) sqliteConsole(ctx context.Context) (err error) {
	f, err := newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	few, err := f.load(ctx, small)
	if err != nil {
		return err
	}
	many, err := f.load(ctx, b.incidents)
	if err != nil {
		return err
	}
	b.begin("Console, in SQLite", b.aboutConsole()+" The ratios have no limit.")
	return b.compareConsoles(ctx, few, many, math.Inf(1))
}

func (b *bench) aboutConsole() string {
	return fmt.Sprintf("Pages of web/console over %d incidents beside %d, request by request in turns. The ratio is that of the "+
		"95th percentiles. A list of 50 incidents has at most %d KiB.", b.incidents, small, largestPage>>10)
}

// compareConsoles measures all pages, for viewers of everything and of some projects.
func (b *bench) compareConsoles(ctx context.Context, few, many *loaded, bar float64) error {
	restricted := &incident.ProjectAccess{}
	for i := range restrictedProjects {
		restricted.Projects = append(restricted.Projects, incident.ProjectID(fmt.Sprintf("project-%02d", i)))
	}
	for _, access := range []*incident.ProjectAccess{nil, restricted} {
		suffix := ""
		if access != nil {
			suffix = fmt.Sprintf(", with access to %d projects", restrictedProjects)
		}
		ours, err1 := newConsoleSide(many, console.Viewer{Access: access})
		theirs, err2 := newConsoleSide(few, console.Viewer{Access: access})
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if err := b.consolePages(ctx, ours, theirs, suffix, bar); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) consolePages(ctx context.Context, ours, theirs *consoleSide, suffix string, bar float64) error {
	for _, p := range consolePages {
		if suffix != "" && p.path == "/incidents/%d" || !strings.Contains(p.name+suffix, b.match) {
			continue // most incidents are foreign
		}
		ours.took, theirs.took = nil, nil
		ratio := 0.
		for range 2 { // a page that misses its bar is measured once more, and all requests count
			if err := measurePage(ctx, p.path, ours, theirs, time.Duration(b.rounds)*b.length); err != nil {
				return err
			}
			if ratio = float64(quantile(ours.took, 0.95)) / float64(quantile(theirs.took, 0.95)); ratio <= bar {
				break
			}
		}
		round := func(s *consoleSide, q float64) time.Duration { return quantile(s.took, q).Round(10 * time.Microsecond) }
		text := fmt.Sprintf("%s%s: 95th percentile %v beside %v, %.2f; median %v beside %v; %d bytes, %d rows", p.name, suffix,
			round(ours, 0.95), round(theirs, 0.95), ratio, round(ours, 0.5), round(theirs, 0.5), ours.bytes, ours.rows)
		fmt.Fprintln(os.Stderr, text)
		list := strings.HasPrefix(p.name, "List")
		switch {
		case list && ours.rows != theirs.rows:
			b.fail("%s beside %d rows: the pages do not compare.", text, theirs.rows)
		case ratio > bar || list && ours.bytes > largestPage:
			b.fail("%s.", text)
		default:
			b.note("%s.", text)
		}
	}
	return nil
}

// measurePage requests a page of each side in turns.
func measurePage(ctx context.Context, path string, ours, theirs *consoleSide, length time.Duration) error {
	warm := len(ours.took)
	for range 5 {
		if err := ours.get(ctx, path); err != nil {
			return err
		}
		if err := theirs.get(ctx, path); err != nil {
			return err
		}
	}
	ours.took, theirs.took = ours.took[:warm], theirs.took[:warm]
	for n, end := 0, time.Now().Add(length); n < leastPages || time.Now().Before(end); n++ {
		first, second := ours, theirs
		if n%2 == 1 {
			first, second = theirs, ours
		}
		if err := first.get(ctx, path); err != nil {
			return err
		}
		if err := second.get(ctx, path); err != nil {
			return err
		}
	}
	return nil
}
