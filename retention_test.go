package incident_test

import (
	"errors"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestRetention_isValidated(t *testing.T) {
	for field, bad := range map[string][]incident.Retention{
		"Retention.Keep": {
			{Keep: 1}, {Keep: -1}, {Keep: incident.MinRetention - 1},
		},
		"Retention.Interval": {
			{Keep: incident.MinRetention, Interval: 1}, {Interval: -1}, {Interval: time.Second - 1},
		},
	} {
		for _, r := range bad {
			var got *incident.FieldError
			if _, err := incident.New(memory.New(), &incident.Options{Retention: r}); !errors.As(err, &got) || got.Field != field {
				t.Errorf("New() with %+v = %v, want ErrInvalid for %s", r, err, field)
			}
		}
	}
	for _, r := range []incident.Retention{
		{}, {Keep: incident.MinRetention}, {Keep: forever, Interval: forever}, {Interval: time.Second},
	} {
		if _, err := incident.New(memory.New(), &incident.Options{Retention: r}); err != nil {
			t.Errorf("New() with %+v = %v", r, err)
		}
	}
}

func TestRetention_needsARetentionStore(t *testing.T) {
	s := struct{ incident.Store }{memory.New()}
	for _, r := range []incident.Retention{
		{Keep: incident.MinRetention},
		{KeepFor: func(incident.OrganizationID) time.Duration { return 0 }},
	} {
		var got *incident.FieldError
		if _, err := incident.New(s, &incident.Options{Retention: r}); !errors.As(err, &got) || got.Field != "Retention" {
			t.Errorf("New() with %+v = %v, want ErrInvalid for Retention", r, err)
		}
	}
}
