package incident

import "log/slog"

// LogValue implements [slog.LogValuer]: it returns the key as its text, such as "acme#42".
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// LogValue implements [slog.LogValuer]: it returns the label.
func (s Status) LogValue() slog.Value { return slog.StringValue(s.String()) }

// LogValue implements [slog.LogValuer]: it returns the label.
func (m StatusMethod) LogValue() slog.Value { return slog.StringValue(m.String()) }

// LogValue implements [slog.LogValuer]: it returns the label.
func (t Type) LogValue() slog.Value { return slog.StringValue(t.String()) }

// LogValue implements [slog.LogValuer]: it returns the label.
func (s TriggerStatus) LogValue() slog.Value { return slog.StringValue(s.String()) }

// LogValue implements [slog.LogValuer]: it returns the label.
func (t ActivityType) LogValue() slog.Value { return slog.StringValue(t.String()) }

// LogValue implements [slog.LogValuer]: it returns a group of the key, the type, the status
// with its method, and the version.
// It has no text of users, not even the title, since logs are often kept longer, and read by
// more people, than incidents.
func (inc Incident) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("key", inc.Key()),
		slog.Any("type", inc.Type),
		slog.Any("status", inc.Status),
		slog.Any("statusMethod", inc.StatusMethod),
		slog.Int64("version", inc.Version),
	)
}
