package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/incidentkit/incident"
)

// What the HTTP side refuses by itself.
var (
	errNoRoute         = errors.New("no such path")
	errMethod          = errors.New("method not allowed")
	errUnauthenticated = errors.New("no valid token")
	errMalformed       = errors.New("malformed")
	errStatus          = errors.New("status cannot be changed")
	errPrecondition    = errors.New("precondition failed")
	errMediaType       = errors.New("not JSON")
	errTooLarge        = errors.New("body too large")
	errSlowBody        = errors.New("body too slow")
	errPanic           = errors.New("panic")
)

// malformed is a request that cannot be understood. The text is shown to the client.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// statusClientGone is for the log: nobody is there to read it.
const statusClientGone = 499

// answers say what the errors of the library, and those of this program, are in HTTP.
// The first that an error matches counts. What matches none is a fault of the
// server, of which a client is told nothing.
var answers = []struct {
	err    error
	status int
	detail string
}{
	{incident.ErrUnknownOutcome, http.StatusServiceUnavailable, "The store was lost in the middle of a write, which was done whole or not at all. Look before you repeat it."},
	{context.Canceled, statusClientGone, "The client has closed the request."},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "The store took too long. A write may have been done; look before you repeat it."},
	{incident.ErrUnavailable, http.StatusServiceUnavailable, "The store cannot answer now. Nothing was written; try again."},
	{incident.ErrNotFound, http.StatusNotFound, "The requested resource does not exist."},
	{errNoRoute, http.StatusNotFound, "The requested resource does not exist."},
	{incident.ErrForbidden, http.StatusForbidden, "You do not have permission to perform this action."},
	{incident.ErrVersionConflict, http.StatusConflict, "Others kept changing the incident. Read it again and repeat the request."},
	{incident.ErrConflict, http.StatusConflict, "Another incident is in the way."},
	{incident.ErrInvalid, http.StatusBadRequest, "The request is not valid."},
	{errUnauthenticated, http.StatusUnauthorized, "Authentication credentials were not provided or are not valid."},
	{errMethod, http.StatusMethodNotAllowed, "Method not allowed. The Allow header names those that are."},
	{errMalformed, http.StatusBadRequest, ""}, // the detail is the error's text
	{errStatus, http.StatusBadRequest, "Status cannot be changed."},
	{errPrecondition, http.StatusPreconditionFailed, "The incident is not in the state that If-Match names. Read it again and decide anew."},
	{errMediaType, http.StatusUnsupportedMediaType, "The body must be application/json in UTF-8."},
	{errTooLarge, http.StatusRequestEntityTooLarge, "The body is too large. The limit is 1 MiB."},
	{errSlowBody, http.StatusRequestTimeout, "The body did not arrive in time."},
}

// problem is the shape of an error. Where it is about one input field, it is instead
// the reference's {"field": ["problem"]}.
type problem struct {
	Detail string `json:"detail"`
	// Incident is the URL of the incident that is in the way.
	Incident string `json:"incident,omitempty"`
}

// fail answers with an error.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, body := answerTo(err)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		if !errors.Is(err, incident.ErrUnknownOutcome) { // which must not be repeated blindly
			w.Header().Set("Retry-After", "1")
		}
	case http.StatusRequestTimeout:
		w.Header().Set("Connection", "close")
	}
	if status >= http.StatusInternalServerError {
		a.log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("id", w.Header().Get(requestID)), slog.Any("error", err))
	}
	_ = sendJSON(w, status, body) // a problem can always be encoded
}

// answerTo returns the status and the body of an error.
func answerTo(err error) (status int, body any) {
	if field, ok := errors.AsType[*incident.FieldError](err); ok {
		name := field.Field
		if name == "projects" {
			name = "project" // as the parameter is called
		}
		return http.StatusBadRequest, map[string][]string{name: {field.Problem}}
	}
	for _, answer := range answers {
		if !errors.Is(err, answer.err) {
			continue
		}
		p := problem{Detail: answer.detail}
		if p.Detail == "" {
			p.Detail = err.Error()
		}
		if conflict, ok := errors.AsType[*incident.ConflictError](err); ok {
			p.Incident = incidentURL(conflict.Existing)
		}
		return answer.status, p
	}
	return http.StatusInternalServerError, problem{Detail: "Internal error."}
}
