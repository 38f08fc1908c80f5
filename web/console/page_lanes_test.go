package console_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

// lasted records an incident that began and ended so many hours ago. A negative end is none.
func (w *world) lasted(title string, began, ended float64, projects ...incident.ProjectID) {
	w.Helper()
	ago := func(hours float64) time.Time { return now.Add(-time.Duration(hours * float64(time.Hour))) }
	inc, err := w.incidents.Create(w.Context(), incident.NewIncident{
		OrganizationID: "acme", Title: title, Projects: projects, DateStarted: ago(began),
	})
	if err == nil && ended >= 0 {
		_, err = w.incidents.UpdateStatus(w.Context(), inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed, Date: ago(ended)})
	}
	if err != nil {
		w.Fatal(err)
	}
}

var (
	laneNames = regexp.MustCompile(`<h2 class="lane-name">(?:<a [^>]*><bdi>)?([^<]*)`)
	laneBars  = regexp.MustCompile(`<a href="([^"]*)" aria-label="([^"]*)" class="lane-bar status-([a-z]*)"><title>([^<]*)</title><rect x="([0-9.]*)%" y="([0-9]*)" width="([0-9.]*)%"`)
)

// bars returns the bars of a page as "href class x+width@y".
func (w *world) bars(page string) (bars []string) {
	w.Helper()
	for _, m := range laneBars.FindAllStringSubmatch(page, -1) {
		bars = append(bars, fmt.Sprintf("%s %s %s+%s@%s", m[1], m[3], m[5], m[7], m[6]))
	}
	return bars
}

func names(page string) (names []string) {
	for _, m := range laneNames.FindAllStringSubmatch(page, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestLanes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lasted("Active", 12, -1, "shop", "bank")
	w.lasted("Overlapping", 18, 6, "shop")
	w.lasted("Short", 3, 2.999)
	w.lasted("Ancient", 50, 30, "shop")
	page := w.page("dana", "/lanes?window=24h", http.StatusOK)
	// The window ends with the minute: at 10:33.
	if got, want := w.bars(page), []string{
		"./incidents/1 open 49.93+50.07@2",
		"./incidents/1 open 49.93+50.07@30", "./incidents/2 closed 24.93+50.00@2",
		"./incidents/3 closed 87.43+0.78@2",
	}; !slices.Equal(got, want) {
		t.Errorf("the bars are\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := names(page), []string{"bank", "shop", "No project"}; !slices.Equal(got, want) {
		t.Errorf("the lanes are %q, want %q", got, want)
	}
	w.wants(page, `aria-label="#2 Overlapping, Resolved, 25 Nov, 16:32 UTC – 26 Nov, 04:32 UTC"`, `<td><bdi>bank</bdi>, <bdi>shop</bdi></td>`,
		`<td>12 hours</td>`, `<a href="./?project=shop&amp;status=all"><bdi>shop</bdi></a>`)
	w.lacks(page, "Ancient", " more</a>", "style=")

	page = w.page("dana", "/lanes?by=rule&from=2026-11-24&to=2026-11-25T12:00", http.StatusOK)
	if got, want := names(page), []string{"No rule"}; !slices.Equal(got, want) {
		t.Errorf("the lanes are %q, want %q", got, want)
	}
	w.wants(page, "Ancient", `href="./lanes?by=rule&amp;from=2026-11-22T12%3A00%3A00Z&amp;to=2026-11-24T00%3A00%3A00Z">Older`,
		`href="./lanes?by=rule&amp;from=2026-11-25T12%3A00%3A00Z&amp;to=2026-11-27T00%3A00%3A00Z">Newer`)
	w.lacks(page, "Active,", "Short")
	w.wants(w.page("dana", "/lanes?from=2026-11-01&to=2026-11-02", http.StatusOK), "Nothing in this window")
	for _, bad := range []string{"from=x", "to=2026-13-01", "from=2026-11-26&to=2026-11-25", "from=2026-11-26T10:00&to=2026-11-26T10:00", "status=x", "from=0001-01-01&to=9999-12-31"} {
		w.lacks(w.page("dana", "/lanes?"+bad, map[bool]int{true: 200, false: 400}[strings.Contains(bad, "9999")]), "NaN", "Inf")
	}
}

// A viewer sees neither foreign incidents nor the lanes of foreign projects.
func TestLanes_access(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lasted("Both", 5, 4, "bank", "shop")
	w.lasted("Secret", 5, 4, "bank")
	w.lasted("Common", 5, 4)
	for viewer, want := range map[string][]string{
		"dana": {"bank", "shop", "No project"}, "limited": {"shop", "No project"}, "none": {"No project"}, "foreign": nil,
	} {
		page := w.page(viewer, "/lanes", http.StatusOK)
		if got := names(page); !slices.Equal(got, want) {
			t.Errorf("%s has the lanes %q, want %q", viewer, got, want)
		}
		if viewer != "dana" {
			w.lacks(page, "bank", "Secret", " more</a>")
		}
	}
	if got, want := names(w.page("dana", "/lanes?project=shop", http.StatusOK)), []string{"shop"}; !slices.Equal(got, want) {
		t.Errorf("of a project there are the lanes %q, want %q", got, want)
	}
	w.page("nobody", "/lanes", http.StatusUnauthorized)
}

func TestLanes_atMost200Bars(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lasted("The oldest", 20, 19)
	for i := range 200 {
		w.lasted(fmt.Sprint("Bar ", i), 10, 9, "shop")
	}
	page := w.page("dana", "/lanes", http.StatusOK)
	if n := len(w.bars(page)); n != 200 {
		t.Errorf("there are %d bars, want 200", n)
	}
	w.wants(page, `<a href="./?from=2026-11-19T10%3A33%3A00Z&amp;status=all&amp;to=2026-11-26T10%3A33%3A00Z">1 more</a>`)
	w.wants(w.page("limited", "/lanes", http.StatusOK), ">Some more</a>")
	var many []incident.ProjectID
	for i := range 100 {
		many = append(many, incident.ProjectID(fmt.Sprint("project-", i)))
	}
	w.lasted("Wide", 2, 1, many...)
	page = w.page("dana", "/lanes", http.StatusOK)
	if n := len(w.bars(page)); n != 200 {
		t.Errorf("with an incident of 100 projects there are %d bars, want 200", n)
	}
	w.wants(page, ">101 more</a>")
	if len(page) > 160<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// No two bars of a row overlap, whatever their length, and all are within the picture.
func TestLanes_geometry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 60 {
		began := float64(i*i%97) / 4
		w.lasted("x", began, max(-1, began-float64(i%7)), "shop")
	}
	page := w.page("dana", "/lanes?window=24h", http.StatusOK)
	height, _ := strconv.Atoi(regexp.MustCompile(`<svg class="lane" width="100%" height="([0-9]+)"`).FindStringSubmatch(page)[1])
	type placed struct{ x, end, y float64 }
	var all []placed
	for _, m := range laneBars.FindAllStringSubmatch(page, -1) {
		x, _ := strconv.ParseFloat(m[5], 64)
		width, _ := strconv.ParseFloat(m[7], 64)
		y, _ := strconv.ParseFloat(m[6], 64)
		b := placed{x, x + width, y}
		if b.x < 0 || b.end > 100.02 || width < 0.7 || int(y)+24 > height {
			t.Errorf("the bar %v is not within the picture", b)
		}
		for _, other := range all {
			if b.y == other.y && b.x < other.end-0.02 && other.x < b.end-0.02 {
				t.Errorf("the bars %v and %v overlap", b, other)
			}
		}
		all = append(all, b)
	}
	if len(all) < 55 {
		t.Errorf("there are %d bars", len(all))
	}
}

// Host text is text in the pictures, too.
func TestLanes_hostileText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) {
		o.Authenticate = func(*http.Request) (console.Viewer, error) {
			return console.Viewer{Organization: "acme", User: "dana", Location: time.FixedZone(`<b>"zone"`, 3600)}, nil
		}
	})
	hostile := `</title></svg><script>alert(1)</script>" onload="x ` + "\u202e" + `]]>&amp;`
	w.lasted(hostile, 5, 4, `"><svg onload=alert(1)>`)
	page := w.page("dana", "/lanes", http.StatusOK)
	for _, label := range regexp.MustCompile(`<title>[^<]*|class="lane-bar[^>]*|aria-label="#[^"]*`).FindAllString(page, -1) {
		if strings.Contains(label, "\u202e") {
			t.Errorf("the label %q turns the text after the title", label)
		}
	}
	w.lacks(page, "<script>alert", `<svg onload`, ` onload="`, `<b>"`)
	d := xml.NewDecoder(strings.NewReader(page[strings.Index(page, `<svg class="lane"`):strings.Index(page, `<nav class="pager"`)]))
	d.Strict = true
	depth := 0
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			if !slices.Contains([]string{"svg", "use", "a", "title", "rect", "text"}, e.Name.Local) {
				t.Errorf("the picture has an element %q", e.Name.Local)
			}
		case xml.EndElement:
			depth--
		}
	}
	if depth != 0 {
		t.Error("the picture is not well formed")
	}
}

func TestLanes_inTheViewersZone(t *testing.T) {
	t.Parallel()
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *console.Options) {
		o.Authenticate = func(*http.Request) (console.Viewer, error) {
			return console.Viewer{Organization: "acme", User: "dana", Location: kolkata}, nil
		}
	})
	w.lasted("x", 5, 4)
	page := w.page("dana", "/lanes?window=24h", http.StatusOK)
	w.wants(page, `>18:00</text>`, `>26 Nov</text>`, `name="to" value="2026-11-26T16:03"`)
	first := w.do("dana", http.MethodGet, "/lanes?window=24h", nil)
	if again := w.do("dana", http.MethodGet, "/lanes?window=24h", nil, "If-None-Match", first.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("the same page again has status %d, want 304", again.Code)
	}
}
