package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/incidentkit/incident"
)

// These errors are made by this program, not by the library.
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

// malformed is the error of a request that cannot be parsed. Its text is shown to the
// client.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// statusClientGone is for the log; the client does not see it.
const statusClientGone = 499

// answers maps errors to HTTP statuses. The first match counts. An error without a match
// is a fault of the server, and its text is hidden from the client.
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
	{errPrecondition, http.StatusPreconditionFailed, "If-Match or If-None-Match does not allow the current version of the incident. Read it again and decide again."},
	{errMediaType, http.StatusUnsupportedMediaType, "The body must be application/json in UTF-8."},
	{errTooLarge, http.StatusRequestEntityTooLarge, "The body is too large. The limit is 1 MiB."},
	{errSlowBody, http.StatusRequestTimeout, "The body did not arrive in time."},
}

// problem is the body of an error response. An error about an input field has instead the
// form of Sentry's API, {"field": ["problem"]}.
type problem struct {
	Detail string `json:"detail"`
	// Incident is the URL of the conflicting incident.
	Incident string `json:"incident,omitempty"`
}

// fail responds with an error.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, body := answerTo(err)
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		if !errors.Is(err, incident.ErrUnknownOutcome) { // such a write must not be repeated blindly
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

// answerTo returns the status and the body for an error.
func answerTo(err error) (status int, body any) {
	if field, ok := errors.AsType[*incident.FieldError](err); ok {
		name := field.Field
		if name == "projects" {
			name = "project" // the parameter's name
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
