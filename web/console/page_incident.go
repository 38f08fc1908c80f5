package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// Limits of the page of an incident. The Markdown has everything.
const (
	maxPeople   = 50 // in a list of followers or views
	maxTriggers = 50
)

// incidentView is the data of incident.html.
type incidentView struct {
	ID       int64
	Href     string // of the page
	Version  int64
	Since    int64 // the sequence of the latest activity on the page
	Title    string
	Status   statusView
	Active   bool
	Started  moment
	Detected moment
	Recorded moment
	Closed   *moment
	Duration string
	Rule     string
	Query    string
	RuleHref string // the list of the rule's incidents
	Projects []projectView

	Assignee     *name
	AssigneeID   incident.UserID
	Acknowledged bool
	By           *name   // nil for a program
	AckSince     *moment // set if Acknowledged
	Until        *moment

	Duplicate   *reference
	Labels      []labelView
	Annotations []labelView

	Triggers     []triggerView
	MoreTriggers int

	Revision     *revisionView // nil unless a comment is to be changed
	Activities   []activityView
	Newest       bool   // the page has the latest activities
	First, Older string // URLs of the other pages; empty if there is none

	Followers, SeenBy         []person
	MoreFollowers, MoreSeenBy int
	Follows                   bool

	Statuses  []choice // of the form "status"
	Untils    []choice // of the form "acknowledge"
	Assignees []assigneeChoice
	Notice    *notice // about the form that was sent
	Done      string  // the name of the form that was sent before
	typed     *typed
}

// labelView is a label or annotation. Href is set if the value is a URL of http or https. List is the
// URL of the incidents with the label.
type labelView struct{ Name, Value, Href, List string }

// projectView is a project with the URL of its incidents.
type projectView struct {
	Name *name
	Href string
}

// person is a user in a list, with a time.
type person struct {
	Name *name
	At   moment
}

// choice is an option of a form.
type choice struct {
	Value, Label string
	Selected     bool
}

// assigneeChoice is an option of the form "assign". The Name of nobody is nil.
type assigneeChoice struct {
	ID       incident.UserID
	Name     *name
	Selected bool
}

// typed is a form that was refused, with the texts of the viewer.
type typed struct {
	action   string
	values   url.Values
	problems map[string]string // by field
}

// Sent reports whether the form was sent and refused.
func (v *incidentView) Sent(action string) bool { return v.typed != nil && v.typed.action == action }

// Typed returns the text of a field as the viewer typed it, or the text of a form that was not sent.
func (v *incidentView) Typed(action, field, otherwise string) string {
	if v.Sent(action) {
		return v.typed.values.Get(field)
	}
	return otherwise
}

// Problem returns the reason why a field was refused, empty for none.
func (v *incidentView) Problem(action, field string) string {
	if v.Sent(action) {
		return v.typed.problems[field]
	}
	return ""
}

// doneForms are the values of the parameter "done".
var doneForms = []string{"already", "acknowledge", "withdraw", "assign", "resolve", "reopen", "status", "edit", "comment", "edit-comment", "delete-comment", "follow", "unfollow"}

// incidentPage shows an incident.
func (c *console) incidentPage(req *request) error {
	view, err := c.readIncident(req, req.r.URL.Query().Get("cursor"))
	if err != nil {
		return err
	}
	if done := req.r.URL.Query().Get("done"); slices.Contains(doneForms, done) {
		view.Done = done
	}
	return c.showIncident(req, view, http.StatusOK)
}

func (c *console) showIncident(req *request, view *incidentView, status int) error {
	p := page{name: "incident", title: cut(view.Title, maxRowTitle), main: view}
	if status != http.StatusOK {
		p.status = status
	}
	return c.render(req, p)
}

// readIncident reads the page of the incident in the path. The access is checked before anything
// else is read, so that an unseen incident takes no longer than an unknown incident.
func (c *console) readIncident(req *request, cursor string) (*incidentView, error) {
	key, err := req.key()
	if err != nil {
		return nil, err
	}
	details, err := c.manager.Details(req, key, req.viewer.User)
	switch {
	case err != nil:
		return nil, err
	case !req.viewer.sees(details.Projects):
		return nil, incident.ErrNotFound
	}
	var log incident.ActivityPage
	var followers []incident.Subscription
	var assignees []incident.UserID
	err = together(func() (err error) {
		log, err = c.manager.Activities(req, key, incident.ActivityFilter{Descending: true, Cursor: cursor, Limit: pageSize})
		return err
	}, func() (err error) {
		followers, err = c.manager.Subscribers(req, key)
		return err
	}, func() (err error) {
		if !req.viewer.ReadOnly && details.Status.Active() {
			assignees = c.offered(req)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	view := c.viewOf(req, &details)
	view.addActivities(c, req, log, cursor)
	for _, f := range followers {
		if len(view.Followers) < maxPeople {
			view.Followers = append(view.Followers, person{req.names.user(f.UserID), req.at(f.DateAdded)})
		}
	}
	view.MoreFollowers = len(followers) - len(view.Followers)
	view.addChoices(req, &details.Incident, assignees)
	return view, nil
}

// offered returns the users of the form "assign". A page that offers the viewer alone is better than none:
// an error is logged.
func (c *console) offered(req *request) []incident.UserID {
	users, err := c.options.Assignees(req, req.viewer)
	if err != nil {
		c.options.Logger.ErrorContext(req, "console: the assignees are unknown", "error", err)
		return nil
	}
	return users
}

// viewOf returns the facts of an incident.
func (c *console) viewOf(req *request, d *incident.Details) *incidentView {
	v := &incidentView{
		ID: d.Identifier, Href: req.incidentURL(d.Identifier), Version: d.Version,
		Title: d.Title, Status: statusOf(d.Status), Active: d.Status.Active(),
		Started: req.at(d.DateStarted), Detected: req.at(d.DateDetected), Recorded: req.at(d.DateAdded),
		Duration: words(d.Duration(req.now)), Rule: string(d.AlertRuleID), Query: string(d.QueryID),
		Labels: labelsOf(d.Labels), Annotations: labelsOf(d.Annotations), Follows: d.IsSubscribed,
	}
	v.Closed, v.RuleHref = req.atOptional(d.DateClosed), req.listURL("rule", v.Rule)
	for i := range v.Labels {
		v.Labels[i].List = req.listURL("label", labelText(v.Labels[i].Name, v.Labels[i].Value))
	}
	for _, p := range d.Projects {
		v.Projects = append(v.Projects, projectView{req.names.project(p), req.listURL("project", string(p))})
	}
	if r := d.Response; r != nil {
		v.AssigneeID, v.Assignee = r.Assignee, req.names.user(r.Assignee)
		if d.Acknowledged(req.now) {
			v.Acknowledged, v.By = true, req.names.user(r.AcknowledgedBy)
			v.AckSince, v.Until = req.atOptional(r.DateAcknowledged), req.atOptional(r.AcknowledgedUntil)
		}
	}
	if d.DuplicateOf != 0 {
		ref := c.refer(req, d.DuplicateOf)
		v.Duplicate = &ref
	}
	for _, s := range d.SeenBy {
		if len(v.SeenBy) < maxPeople {
			v.SeenBy = append(v.SeenBy, person{req.names.user(s.UserID), req.at(s.LastSeen)})
		}
	}
	v.MoreSeenBy = len(d.SeenBy) - len(v.SeenBy)
	v.addTriggers(req, d)
	return v
}

// listURL returns the URL of all incidents with a value of a filter.
func (req *request) listURL(field, value string) string {
	query := url.Values{field: {value}, "status": {"all"}}
	if hasBlanks(value) {
		query.Set("exact", "1")
	}
	return req.root + "?" + query.Encode()
}

func (req *request) atOptional(t *time.Time) *moment {
	if t == nil {
		return nil
	}
	at := req.at(*t)
	return &at
}

func labelsOf(labels map[string]string) []labelView {
	all := make([]labelView, 0, len(labels))
	for name, value := range labels {
		all = append(all, labelView{Name: name, Value: value, Href: linkOf(value)})
	}
	slices.SortFunc(all, func(a, b labelView) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// linkOf returns a text that is a URL of http or https, and "" for any other text. A URL with a
// user is a text: it is a common disguise of another host.
func linkOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}
