package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

func TestList_filters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []incident.NewIncident{
		{Title: "Alpha", Projects: []incident.ProjectID{"shop"}, Labels: map[string]string{"team": "a=b"}, DateStarted: now.Add(-72 * time.Hour)},
		{Title: "Beta", Projects: []incident.ProjectID{"pay"}, AlertRuleID: "rule 1"},
		{Title: "Gamma"},
	} {
		n.OrganizationID = "acme"
		if _, err := w.incidents.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	w.post("dana", "/incidents/3/assign", url.Values{"version": {"1"}, "assignee": {"erin"}}, http.StatusSeeOther)
	w.post("dana", "/incidents/2/acknowledge", url.Values{"version": {"1"}, "until": {""}}, http.StatusSeeOther)
	w.post("dana", "/incidents/1/resolve", url.Values{"version": {"1"}}, http.StatusSeeOther)
	for query, want := range map[string]string{
		"":                              "3 2",
		"status=all":                    "3 2 1",
		"status=closed":                 "1",
		"status=closed&status=open":     "3 2 1",
		"status=critical":               "",
		"status=all&q=ALPHA":            "1",
		"q=alpha":                       "",
		"project=pay":                   "2",
		"project=pay&project=shop":      "2",
		"rule=rule+1":                   "2",
		"assignee=erin":                 "3",
		"acknowledged=true":             "2",
		"acknowledged=false":            "3",
		"status=all&label=team%3Da%3Db": "1",
		"status=all&to=2026-11-25":      "1",
		"status=all&from=2026-11-26":    "3 2 1",
		"from=2026-11-27":               "3 2",
		"to=2026-11-26":                 "3 2",
		"to=2026-11-26T10:31":           "",
		"q=&project=&status=":           "",
	} {
		status := http.StatusOK
		if strings.HasSuffix(query, "status=") {
			status = http.StatusBadRequest
		}
		var got []string
		for _, m := range regexp.MustCompile(`data-id="(\d+)"`).FindAllStringSubmatch(w.page("dana", "/?"+query, status), -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s lists %v, want %s", query, got, want)
		}
	}
	w.wants(w.page("dana", "/?q=a&label=team%3Da%3Db", http.StatusOK), `href="./?label=team%3Da%3Db&amp;q=a&amp;status=closed" class="tab tab-closed">Resolved <span class="count">1</span>`,
		`<details open>`, `name="label" value="team=a=b"`)
}

func TestList_showsTheProblemAtTheField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("x")
	for query, want := range map[string]string{
		"status=%3Cb%3E":                   "Choose one of the statuses",
		"label=x":                          `value="x" placeholder="name=value" dir="auto" aria-invalid="true" aria-describedby="label-problem"`,
		"label=a%3Db&label=a%3Dc":          "A label has a single value",
		"from=yesterday":                   `value="yesterday" aria-invalid="true" aria-describedby="from-problem"`,
		"from=2026-02-02&to=2026-01-01":    "to-problem",
		"acknowledged=maybe":               "acknowledged-problem",
		"q=%00":                            "q-problem",
		"rule=" + strings.Repeat("x", 300): "rule-problem",
		"project=%00":                      "project-problem",
		"cursor=x":                         "Begin with the first page",
	} {
		page := w.page("dana", "/?"+query, http.StatusBadRequest)
		w.wants(page, want)
		w.lacks(page, "<b>", "No incidents yet", `class="row"`)
	}
}

func TestList_pagesBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 120 {
		w.create(fmt.Sprintf("Number %d", i+1))
	}
	next := regexp.MustCompile(`rel="(next|prev)" href="\.(/[^"]*)"`)
	walk := func(path, rel string) (rows []int, last string) {
		for path != "" {
			page := w.page("dana", path, http.StatusOK)
			rows, last, path = append(rows, strings.Count(page, `class="row"`)), path, ""
			for _, m := range next.FindAllStringSubmatch(page, -1) {
				if m[1] == rel {
					path = html.UnescapeString(m[2])
				}
			}
		}
		return rows, last
	}
	rows, last := walk("/?q=number", "next")
	if fmt.Sprint(rows) != "[50 50 20]" || !strings.Contains(last, "q=number") {
		t.Errorf("the pages have %v rows; the last is %s", rows, last)
	}
	if rows, _ := walk(last, "prev"); fmt.Sprint(rows) != "[20 50 50]" {
		t.Errorf("back, the pages have %v rows", rows)
	}
}

func TestIncident_pagesOfTheTimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("x")
	for i := range 60 {
		w.post("dana", path+"/comment", url.Values{"comment": {fmt.Sprintf("comment %d.", i)}}, http.StatusSeeOther)
	}
	page := w.page("dana", path, http.StatusOK)
	w.wants(page, "comment 59.", `id="a62"`)
	w.lacks(page, "comment 9.", "Latest activities")
	older := regexp.MustCompile(`href="\.\./incidents/1(\?cursor=[^"]*)"`).FindStringSubmatch(page)
	if older == nil {
		t.Fatal("no link to older activities")
	}
	page = w.page("dana", path+older[1], http.StatusOK)
	w.wants(page, "comment 9.", "The incident was detected", "Latest activities")
	w.lacks(page, "comment 59.", "<form")
	w.page("dana", path+"?cursor=x", http.StatusBadRequest)
}

func TestIncident_showsTriggersAsBars(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, trigger := range []incident.TriggerID{"a <b>", "c"} {
		if _, err := w.incidents.Fire(t.Context(), incident.Firing{
			Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "shop"},
			TriggerID: trigger, Severity: incident.StatusWarning, Title: "x", Date: now.Add(time.Duration(i-4) * time.Hour),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.incidents.Resolve(t.Context(), incident.Resolution{
		Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "shop"},
		TriggerID: "a <b>", Date: now.Add(-2 * time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	w.wants(w.page("dana", "/incidents/1", http.StatusOK), `x="0.0" width="50.0"`, `x="25.0" width="75.0"`, "a &lt;b&gt;", "active since",
		`Alert rule</dt><dd><a href="../?rule=rule&amp;status=all"><bdi>rule</bdi>`)
}
