package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/incidentkit/incident"
)

// The refusals that only a request over HTTP can get.
var (
	errCrossSite = errors.New("another site sent the form")
	errMethod    = errors.New("method not allowed")
	errReadOnly  = fmt.Errorf("the viewer may only read: %w", incident.ErrForbidden)
	errTooLarge  = errors.New("the body is too large")
	errQuery     = errors.New("the query is too long")
	errMedia     = errors.New("the body is not a form")
)

// problem is the page of an error. Its texts are constant: nothing of the request is repeated in
// them.
type problem struct {
	Status int
	Title  string
	Text   string
	Fate   string // of the write; not shown for a GET
	Next   string
	SignIn string  // the URL of the host's sign-in page; empty for none
	Resend *resend // the form to send again, nil without one
	Home   bool    // link to the list
}

const unwritten = "Nothing was written."

// problems lists the pages of errors. The first match counts.
var problems = []struct {
	err error
	problem
}{
	{ErrSignIn, problem{
		Status: http.StatusUnauthorized, Title: "Sign in first",
		Text: "This page is for people who are signed in.", Next: "Sign in, then open the page again.",
	}},
	{errCrossSite, problem{
		Status: http.StatusForbidden, Title: "Sent from another site",
		Text: "The form was sent by a page of another site.", Fate: unwritten, Next: "Open the page here, and send the form from it.",
	}},
	{errMethod, problem{
		Status: http.StatusMethodNotAllowed, Title: "Not a page",
		Text: "This address does not answer requests of this kind.", Next: "Go to the incidents, and follow the links from there.", Home: true,
	}},
	{errOtherViewer, problem{
		Status: http.StatusConflict, Title: "Signed in as another user",
		Text: "The form is from a page of another user or organization.", Fate: unwritten,
		Next: "Sign in as before, then send it again. Or go to the incidents.", Home: true,
	}},
	{errTooLarge, problem{
		Status: http.StatusRequestEntityTooLarge, Title: "Too long",
		Text: "The form has more text than an incident can keep.", Fate: unwritten, Next: "Go back, shorten the text, and send it again.",
	}},
	{errMedia, problem{
		Status: http.StatusUnsupportedMediaType, Title: "Not a form",
		Text: "This address accepts forms only.", Fate: unwritten, Next: "Send the form from its page.", Home: true,
	}},
	{errQuery, problem{
		Status: http.StatusRequestURITooLong, Title: "Too long",
		Text: "The address is too long.", Next: "Start again from the list of incidents.", Home: true,
	}},
	{errReadOnly, problem{
		Status: http.StatusForbidden, Title: "Read only",
		Text: "You may read the incidents, but not change them.", Fate: unwritten, Next: "Ask for access to write.", Home: true,
	}},
	{incident.ErrNotFound, problem{
		Status: http.StatusNotFound, Title: "Not found",
		Text: "There is no such page or incident, or you may not see it.", Next: "Check the address, or go to the incidents.", Home: true,
	}},
	{incident.ErrUnknownOutcome, problem{
		Status: http.StatusServiceUnavailable, Title: "It may have been written",
		Text: "The store was lost in the middle of the write. The change was written whole, or not at all.",
		Next: "Send it again: it is safe, and nothing is written twice.",
	}},
	{incident.ErrForbidden, problem{
		Status: http.StatusForbidden, Title: "Not permitted",
		Text: "You may not do this.", Fate: unwritten, Next: "Ask for access.", Home: true,
	}},
	{incident.ErrConflict, problem{
		Status: http.StatusConflict, Title: "Changed meanwhile",
		Text: "Another change came first.", Fate: unwritten, Next: "Read the incident again, and decide again.", Home: true,
	}},
	{incident.ErrInvalid, problem{
		Status: http.StatusBadRequest, Title: "Not understood",
		Text: "The address or the form has a value that cannot be used.", Fate: unwritten, Next: "Start again from the list of incidents.", Home: true,
	}},
	{context.DeadlineExceeded, problem{
		Status: http.StatusServiceUnavailable, Title: "Too slow",
		Text: "The answer took too long.", Fate: "The change may have been written.", Next: "Try again in a moment. Sending a form again is safe, and nothing is written twice.",
	}},
	{nil, problem{
		Status: http.StatusServiceUnavailable, Title: "Not available",
		Text: "The incidents cannot be reached now.", Fate: unwritten, Next: "Try again in a moment.",
	}},
}

// problemOf returns the page of an error.
func problemOf(err error) problem {
	for _, p := range problems {
		if p.err == nil || errors.Is(err, p.err) {
			return p.problem
		}
	}
	panic("unreachable: the last problem matches every error")
}

// fail answers with the page of an error.
func (c *console) fail(req *request, err error) {
	p := problemOf(err)
	if errors.Is(err, ErrSignIn) && navigates(req.r) {
		if c.options.SignIn != "" && req.r.Method != http.MethodPost {
			if req.r.URL.RawQuery == "" {
				redirect(req.w, c.options.SignIn, http.StatusSeeOther)
				return
			}
			// A form may have sent the query. Chromium blocks the redirects of a form to another
			// origin, also those of the sign-in page, by the form-action of the policy.
			req.w.Header().Set("Refresh", "0; url="+c.options.SignIn)
		}
		p.SignIn = c.options.SignIn
		if _, err := req.form(); err == nil && req.r.Method == http.MethodPost {
			p.Resend = resendOf(req.r) // a session that ends costs no text
		}
	}
	if errors.Is(err, errOtherViewer) {
		p.Resend = resendOf(req.r)
	}
	if req.r.Method != http.MethodPost {
		p.Fate = ""
	}
	if p.Status == http.StatusServiceUnavailable {
		if errors.Is(err, context.Canceled) && req.r.Context().Err() != nil {
			return // the client has gone
		}
		c.options.Logger.ErrorContext(req, "console: a request failed", "route", req.r.Pattern, "error", err)
		req.w.Header().Set("Retry-After", "5")
		if req.r.Method == http.MethodPost && req.signed {
			p.Resend = resendOf(req.r)
		}
	}
	if err := c.render(req, page{name: "error", status: p.Status, title: p.Title, main: p}); err != nil {
		c.options.Logger.ErrorContext(req, "console: the page of an error failed", "error", err)
		http.Error(req.w, http.StatusText(p.Status), p.Status)
	}
}

// navigates reports whether a browser opens the answer as a page. A script follows no redirect to
// the sign-in page. Over plain http browsers do not name the destination.
func navigates(r *http.Request) bool {
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" {
		return dest == "document"
	}
	accept := r.Header.Get("Accept")
	return accept == "" || strings.Contains(accept, "text/html")
}
