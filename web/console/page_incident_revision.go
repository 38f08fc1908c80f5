package console

import (
	"errors"
	"net/url"
	"strconv"

	"github.com/incidentkit/incident"
)

// revisionView is the form that changes a comment of the viewer. The form that deletes it is beside.
type revisionView struct {
	Sequence int64
	Text     string
	Cancel   string // the URL of the page without the form
}

// errGone means that the comment of a form has been deleted.
var errGone = errors.New("the comment was deleted")

// mayRevise reports whether the viewer may change or delete an activity: an own comment that is not
// deleted.
func (req *request) mayRevise(a *incident.Activity) bool {
	return !req.viewer.ReadOnly && a.Type == incident.ActivityTypeComment && a.UserID == req.viewer.User && a.DateDeleted == nil
}

// offerRevision adds the link to the form for a comment, or the form if the query asks for it.
func (v *incidentView) offerRevision(req *request, a *incident.Activity, shown *activityView, cursor string) {
	if !req.mayRevise(a) {
		return
	}
	sequence, query := strconv.FormatInt(a.Sequence, 10), url.Values{}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	page := v.Href
	if len(query) > 0 {
		page += "?" + query.Encode()
	}
	if req.r.URL.Query().Get("revise") == sequence {
		v.Revision = &revisionView{Sequence: a.Sequence, Text: a.Comment, Cancel: page + "#a" + sequence}
		return
	}
	query.Set("revise", sequence)
	shown.Revise = v.Href + "?" + query.Encode() + "#revision"
}

// keepRevision shows the form of a refused change again. The text of a comment that has been deleted
// is kept in the form for a new comment.
func (v *incidentView) keepRevision(f *form, reason error) {
	if errors.Is(reason, errGone) {
		v.typed.action = "comment"
		v.Notice.Problem = "The comment was deleted meanwhile, so that your text was not written. It is kept below; you can send it as a new comment."
		return
	}
	if v.Sent("edit-comment") {
		sequence := number(f.values.Get("sequence"))
		v.Revision = &revisionView{Sequence: sequence, Cancel: v.Href + "#a" + strconv.FormatInt(sequence, 10)}
	}
}

// editComment changes the text of a comment of the viewer. A comment has no version: of two forms for
// it the later counts.
func (c *console) editComment(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	_, err := c.manager.EditComment(req, inc.Key(), incident.CommentEdit{
		Sequence: number(f.values.Get("sequence")), UserID: req.viewer.User, Comment: f.text("comment"),
	})
	if errors.Is(err, incident.ErrNotFound) {
		err = errGone
	}
	return incident.Result{Changed: true}, err
}

// deleteComment deletes the text of a comment of the viewer.
func (c *console) deleteComment(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	_, err := c.manager.DeleteComment(req, inc.Key(), incident.CommentEdit{
		Sequence: number(f.values.Get("sequence")), UserID: req.viewer.User,
	})
	return incident.Result{Changed: true}, err
}
