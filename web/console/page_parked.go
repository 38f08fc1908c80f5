package console

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/incidentkit/incident"
)

// parkedView is the data of parked.html.
type parkedView struct {
	Tabs     []notifierTab
	Notifier string // the selected notifier
	Groups   []parkedGroup
	All      bool   // the viewer may select all incidents at once
	Next     string // the URL of the next page; empty for none
	None     bool   // the store keeps no notifications
	Done     string // the result of the form that was sent before; empty for none
}

// notifierTab is a link to the notifications of a notifier.
type notifierTab struct {
	Label, Href string
	Parked      int64 // of all organizations, as of the last count
	Current     bool
}

// parkedGroup has the parked notifications of an incident.
type parkedGroup struct {
	Incident reference
	Items    []parkedItem
}

// parkedItem is a parked notification.
type parkedItem struct {
	Subject  string // "Activity 12" or "Reminder"
	Reminder string // its name; empty for an activity
	Attempts string
	Error    string
	At       moment
}

// parkedPage lists the parked notifications of the viewer's organization. An operator with a
// ProjectAccess sees those of visible incidents.
func (c *console) parkedPage(req *request) error {
	query := req.r.URL.Query()
	view := &parkedView{All: req.viewer.Access == nil, Done: doneParked(query)}
	view.addTabs(req, c.manager.Stats(), query)
	found, err := c.manager.Parked(req, incident.ParkedFilter{
		OrganizationID: req.viewer.Organization, Notifier: view.Notifier, Cursor: query.Get("cursor"),
	})
	refused, invalid := errors.AsType[*incident.FieldError](err)
	switch {
	case invalid && refused.Field != "cursor" && refused.Field != "notifier":
		view.None = true
	case err != nil:
		return err
	}
	for i := range found.Notifications {
		view.add(c, req, &found.Notifications[i])
	}
	if !view.All {
		view.Groups = slices.DeleteFunc(view.Groups, func(g parkedGroup) bool { return g.Incident.Href == "" })
	}
	if found.Next != "" {
		view.Next = req.root + "parked?" + url.Values{"notifier": {view.Notifier}, "cursor": {found.Next}}.Encode()
	}
	return c.render(req, page{name: "parked", title: "Parked notifications", heading: "Parked notifications", main: view})
}

// addTabs adds the notifiers that are known to the Manager, and selects that of the query or the
// first with parked notifications.
func (v *parkedView) addTabs(req *request, s incident.Stats, query url.Values) {
	parked := map[string]int64{"": s.Notifications.Backlog.Parked}
	for name, of := range s.Notifiers {
		parked[name] = of.Backlog.Parked
	}
	for name, of := range s.Abandoned {
		parked[name] = of.Parked
	}
	names := slices.Sorted(maps.Keys(parked))
	v.Notifier = names[0]
	if i := slices.IndexFunc(names, func(name string) bool { return parked[name] > 0 }); i >= 0 {
		v.Notifier = names[i]
	}
	if query.Has("notifier") {
		v.Notifier = query.Get("notifier")
	}
	for _, name := range names {
		label := name
		if name == "" {
			label = "Without a name"
		}
		v.Tabs = append(v.Tabs, notifierTab{
			Label: label, Href: req.root + "parked?" + url.Values{"notifier": {name}}.Encode(), Parked: parked[name], Current: name == v.Notifier,
		})
	}
}

// add adds a notification to the group of its incident, which is the last or a new group.
func (v *parkedView) add(c *console, req *request, n *incident.ParkedNotification) {
	if len(v.Groups) == 0 || v.Groups[len(v.Groups)-1].Incident.Number != n.Incident.Identifier {
		v.Groups = append(v.Groups, parkedGroup{Incident: c.refer(req, n.Incident.Identifier)})
	}
	item := parkedItem{
		Subject: "Activity " + strconv.FormatInt(n.Sequence, 10), Attempts: count(n.Attempts, "attempt"), Error: n.Error, At: req.at(n.DateParked),
	}
	if n.Reminder != nil {
		item.Subject, item.Reminder = "Reminder", n.Reminder.Name
	}
	g := &v.Groups[len(v.Groups)-1]
	g.Items = append(g.Items, item)
}

// doneParked returns the result that a redirect names.
func doneParked(query url.Values) string {
	n := number(query.Get("n"))
	switch query.Get("done") {
	case "replay":
		return count(n, "notification") + " queued again."
	case "discard":
		return count(n, "notification") + " discarded."
	}
	return ""
}

// replayParked queues parked notifications again.
func (c *console) replayParked(req *request) error {
	f, selection, _, err := c.parkedSelection(req)
	if err != nil {
		return err
	}
	n, err := c.manager.Replay(req, selection)
	if err != nil {
		return err
	}
	return parkedDone(req, f, "replay", n)
}

// discardView is the data of discard.html.
type discardView struct {
	Notifier, Identifier string
	Incident             *reference // nil for all incidents
	Back                 string
}

// discardParked deletes parked notifications. Without "confirm" it asks first.
func (c *console) discardParked(req *request) error {
	f, selection, ref, err := c.parkedSelection(req)
	if err != nil {
		return err
	}
	if f.values.Get("confirm") != "yes" {
		return c.render(req, page{name: "discard", title: "Discard notifications", heading: "Discard notifications?", main: &discardView{
			Notifier: selection.Notifier, Identifier: f.values.Get("identifier"), Incident: ref, Back: parkedURL(req, f),
		}})
	}
	n, err := c.manager.DiscardParked(req, selection)
	if err != nil {
		return err
	}
	return parkedDone(req, f, "discard", n)
}

// parkedSelection returns the selection of a form. Without access to all projects, an operator
// must name a visible incident.
func (c *console) parkedSelection(req *request) (*form, incident.ParkedSelection, *reference, error) {
	s := incident.ParkedSelection{OrganizationID: req.viewer.Organization}
	f, err := req.form()
	if err != nil {
		return nil, s, nil, err
	}
	s.Notifier = f.values.Get("notifier")
	if f.values.Get("identifier") == "" && req.viewer.Access == nil {
		return f, s, nil, nil
	}
	s.Identifier = number(f.values.Get("identifier"))
	if s.Identifier == 0 {
		return nil, s, nil, incident.ErrNotFound
	}
	inc, err := c.visible(req, s.Identifier)
	if err != nil {
		return nil, s, nil, err
	}
	return f, s, &reference{Number: inc.Identifier, Href: req.incidentURL(inc.Identifier), Title: inc.Title}, nil
}

func parkedURL(req *request, f *form) string {
	return req.root + "parked?" + url.Values{"notifier": {f.values.Get("notifier")}}.Encode()
}

func parkedDone(req *request, f *form, done string, n int) error {
	redirect(req.w, parkedURL(req, f)+"&done="+done+"&n="+strconv.Itoa(n), http.StatusSeeOther)
	return nil
}

// parkedForm is a button for the notifications of an incident, or of all incidents.
type parkedForm struct {
	Root, Token, Action, Label, Notifier string
	Identifier                           any // a number, or "" for all incidents
}

// Forms returns the buttons for an incident.
func (v *parkedView) Forms(l layout, identifier any) []parkedForm {
	replay, discard := "Queue again", "Discard"
	if identifier == "" {
		replay, discard = "Queue all again", "Discard all"
	}
	return []parkedForm{
		{l.Root, l.Token, "replay", replay, v.Notifier, identifier},
		{l.Root, l.Token, "discard", discard, v.Notifier, identifier},
	}
}
