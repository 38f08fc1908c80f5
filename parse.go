package incident

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseKey returns the key whose [Key.String] is text. The organization may contain '#':
// the identifier follows the last. It returns [ErrInvalid] for any other text, such as a number
// with a leading zero.
func ParseKey(text string) (Key, error) {
	i := strings.LastIndexByte(text, '#')
	if i < 0 {
		return Key{}, invalid("key", "must have the form organization#identifier")
	}
	n, err := strconv.ParseInt(text[i+1:], 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != text[i+1:] {
		return Key{}, invalid("key", "must end with a positive number without leading zeros")
	}
	key := Key{OrganizationID: OrganizationID(text[:i]), Identifier: n}
	if err := checkID("organizationId", key.OrganizationID, false); err != nil {
		return Key{}, err
	}
	return key, nil
}

// ParseStatus returns the status with the label or the number: "Resolved" and "2" are
// [StatusClosed]. The label is that of [Status.String], in the same case. It returns
// [ErrInvalid] for any other text.
func ParseStatus(text string) (Status, error) {
	return parseEnum("status", text, StatusOpen, StatusClosed, StatusWarning, StatusCritical)
}

// ParseStatusMethod returns the method with the label or the number: "Manual" and "1" are
// [StatusMethodManual]. It returns [ErrInvalid] for any other text.
func ParseStatusMethod(text string) (StatusMethod, error) {
	return parseEnum("statusMethod", text, StatusMethodManual, StatusMethodRuleUpdated, StatusMethodRuleTriggered)
}

// ParseType returns the type with the label or the number: "Detected" and "0" are
// [TypeDetected]. It returns [ErrInvalid] for any other text.
func ParseType(text string) (Type, error) {
	return parseEnum("type", text, TypeDetected, TypeAlertTriggered)
}

// ParseTriggerStatus returns the status with the label or the number: "Active" and "0" are
// [TriggerStatusActive]. It returns [ErrInvalid] for any other text.
func ParseTriggerStatus(text string) (TriggerStatus, error) {
	return parseEnum("status", text, TriggerStatusActive, TriggerStatusResolved)
}

// ParseActivityType returns the type with the label or the number: "Comment" and "3" are
// [ActivityTypeComment]. It returns [ErrInvalid] for any other text.
func ParseActivityType(text string) (ActivityType, error) {
	return parseEnum("type", text,
		ActivityTypeCreated, ActivityTypeStatusChange, ActivityTypeComment, ActivityTypeDetected,
		ActivityTypeAcknowledged, ActivityTypeUnacknowledged, ActivityTypeAssigned, ActivityTypeEdited,
		ActivityTypeTriggerFired, ActivityTypeTriggerResolved,
		ActivityTypeProjectLinked, ActivityTypeProjectUnlinked, ActivityTypeMarkedDuplicate)
}

// parseEnum returns the value whose label or number is text.
func parseEnum[T interface {
	~int
	fmt.Stringer
}](field, text string, values ...T) (T, error) {
	for _, v := range values {
		if text == v.String() || text == strconv.Itoa(int(v)) {
			return v, nil
		}
	}
	return 0, invalid(field, "is neither a known label nor a known number")
}
