package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/incidentkit/incident"
)

// bulkView is the data of bulk.html: a question, or the results.
type bulkView struct {
	Action  string // "acknowledge" or "resolve"
	Verb    string // "Acknowledge" or "Resolve"
	Count   string // "3 incidents"
	Rows    []bulkRow
	Done    bool
	Failed  int
	Back    string // the URL of the list
	Query   string // of the list, for the form
	Problem string // the reason why nothing can be done
	Resend  *resend
}

// bulkRow is an incident of a call for many. Href is empty for an incident that does not exist or
// that the viewer may not see.
type bulkRow struct {
	ID      int64
	Href    string
	Title   string
	Status  statusView
	Outcome string
	Failed  bool
}

// verbs are the values of "action".
var verbs = map[string]string{"acknowledge": "Acknowledge", "resolve": "Resolve"}

// bulk acknowledges or resolves many incidents. Without "confirm" it asks first.
func (c *console) bulk(req *request) error {
	f, err := req.form()
	if err != nil {
		return err
	}
	back, err := url.ParseQuery(f.values.Get("back"))
	if err != nil {
		back = nil
	}
	query := req.filterOf(back, "active").link("")
	view := &bulkView{Action: f.values.Get("action"), Verb: verbs[f.values.Get("action")], Query: query, Back: req.root + query}
	ids := bulkIDs(f)
	view.Count = count(len(ids), "incident")
	switch {
	case view.Verb == "":
		return incident.ErrInvalid
	case len(ids) == 0:
		view.Problem = "No incident is chosen. Choose at least one in the list."
	case len(ids) > incident.MaxBulk:
		view.Problem = "Too many incidents are chosen: at most " + count(incident.MaxBulk, "incident") + " at once."
	}
	p := page{name: "bulk", title: view.Verb + " " + view.Count, heading: view.Verb + " " + view.Count + "?", main: view}
	if view.Problem != "" {
		p.status = http.StatusBadRequest
		return c.render(req, p)
	}
	keys, err := c.bulkRows(req, view, ids)
	if err != nil {
		return err
	}
	if f.values.Get("confirm") != "yes" && req.r.URL.Query().Get("confirm") != "yes" {
		return c.render(req, p)
	}
	p.heading = view.Verb + " " + view.Count
	if err := c.writeAll(req, f, view, keys); err != nil {
		return err
	}
	return c.render(req, p)
}

// bulkIDs returns the chosen identifiers in their order, each once.
func bulkIDs(f *form) (ids []int64) {
	for _, text := range f.values["key"] {
		if id := number(text); id > 0 && !slices.Contains(ids, id) && len(ids) <= incident.MaxBulk {
			ids = append(ids, id)
		}
	}
	return ids
}

// bulkRows adds a row for each identifier, and returns the keys of the incidents that the viewer
// may see.
func (c *console) bulkRows(req *request, view *bulkView, ids []int64) (keys []incident.Key, err error) {
	for _, id := range ids {
		row := bulkRow{ID: id, Outcome: "Not found", Failed: true}
		switch inc, err := c.visible(req, id); {
		case err == nil:
			row = bulkRow{ID: id, Href: req.incidentURL(id), Title: cut(inc.Title, maxRowTitle), Status: statusOf(inc.Status)}
			keys = append(keys, inc.Key())
		case !errors.Is(err, incident.ErrNotFound):
			return nil, err
		}
		view.Rows = append(view.Rows, row)
	}
	return keys, nil
}

// writeAll writes, and adds the results to the rows.
func (c *console) writeAll(req *request, f *form, view *bulkView, keys []incident.Key) (err error) {
	var results []incident.BulkResult
	if len(keys) > 0 {
		if view.Action == "resolve" {
			results, err = c.manager.UpdateStatusAll(req, keys, incident.StatusUpdate{
				Status: incident.StatusClosed, UserID: req.viewer.User, NotificationUUID: req.notificationUUID(f),
			})
		} else {
			results, err = c.manager.AcknowledgeAll(req, keys, incident.Acknowledgement{
				UserID: req.viewer.User, NotificationUUID: req.notificationUUID(f),
			})
		}
		if err != nil {
			return err
		}
	}
	view.Done = true
	for i := range view.Rows {
		row := &view.Rows[i]
		if !row.Failed {
			r := results[slices.IndexFunc(results, func(r incident.BulkResult) bool { return r.Key.Identifier == row.ID })]
			row.Outcome, row.Failed = outcomeOf(view.Action, &r)
			if r.Err == nil {
				row.Status = statusOf(r.Result.Status)
			} else if p := problemOf(r.Err); p.Status == http.StatusServiceUnavailable {
				c.options.Logger.ErrorContext(req, "console: an incident of many failed", "incident", r.Key, "error", r.Err)
				view.Resend = resendOf(req.r)
			}
		}
		if row.Failed {
			view.Failed++
		}
	}
	return nil
}

// outcomeOf returns the result of an incident in words.
func outcomeOf(action string, r *incident.BulkResult) (text string, failed bool) {
	switch {
	case r.Err != nil:
		return problemOf(r.Err).Title, true
	case action == "resolve" && r.Result.Changed:
		return "Resolved", false
	case action == "resolve":
		return "Resolved before", false
	case r.Result.Changed:
		return "Acknowledged", false
	case !r.Result.Status.Active():
		return "Not active any more", false
	}
	return "Acknowledged before", false
}
