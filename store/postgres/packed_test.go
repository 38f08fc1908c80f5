package postgres

import (
	"encoding/base64"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// field returns a field of a record in the server's binary format. A nil value is NULL.
func field(value []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 25)
	if value == nil {
		return binary.BigEndian.AppendUint32(b, 0xffffffff)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
}

// fields are a value of each type, and a NULL.
func fields() (all [][]byte, dest []any, check func(*testing.T)) {
	var got struct {
		title  string
		status incident.Status
		n      int64
		small  int64
		at     time.Time
		until  *time.Time
		id     uuid.UUID
		list   []incident.ProjectID
		inc    incident.Incident
		null   string
	}
	id := uuid.MustParse("018f0000-0000-7000-8000-000000000001")
	two := []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x19\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01a\x00\x00\x00\x02b,")
	all = [][]byte{
		[]byte("Down"),
		{0, 20},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe},
		{0xff, 0xff, 0xff, 0xfd},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0, 0, 0, 0, 0, 0, 0, 1},
		id[:], two, []byte("\x01" + `{"labels": {"team": "a"}}`), nil,
	}
	dest = []any{
		text(&got.title), integer(&got.status), integer(&got.n), integer(&got.small), instant(&got.at), optionalInstant(&got.until),
		identity(&got.id), list(&got.list), optional(&got.inc), text(&got.null),
	}
	return all, dest, func(t *testing.T) {
		at := time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
		if got.title != "Down" || got.status != incident.StatusCritical || got.n != -2 || got.small != -3 || got.id != id || got.inc.Labels["team"] != "a" {
			t.Errorf("unpacked %+v", got)
		}
		if !reflect.DeepEqual(got.at, at) || got.until == nil || !got.until.Equal(at.Add(2*time.Microsecond)) {
			t.Errorf("unpacked the times %v and %v", got.at, got.until)
		}
		if !reflect.DeepEqual(got.list, []incident.ProjectID{"a", "b,"}) {
			t.Errorf("unpacked the list %q", got.list)
		}
	}
}

func TestPackedColumn(t *testing.T) {
	t.Parallel()
	all, dest, check := fields()
	record := binary.BigEndian.AppendUint32(nil, uint32(len(all)))
	for _, value := range all {
		record = append(record, field(value)...)
	}
	if err := packedColumn(dest).Scan(base64.StdEncoding.EncodeToString(record)); err != nil {
		t.Fatal(err)
	}
	check(t)
	for n := range record {
		if err := packedColumn(dest).Scan(base64.StdEncoding.EncodeToString(record[:n])); err == nil {
			t.Errorf("the first %d bytes of a record are understood", n)
		}
	}
	if err := packedColumn(dest).Scan(base64.StdEncoding.EncodeToString(append(record, 0))); err == nil {
		t.Error("a byte after a record is understood")
	}
	if err := packedColumn(dest).Scan("0x"); err == nil {
		t.Error("a text that is not base64 is understood")
	}
	if err := packedColumn(dest[1:]).Scan(base64.StdEncoding.EncodeToString(record)); err == nil {
		t.Error("a field without a destination is understood")
	}
}

// A value of another length is an error, except for a text.
func TestPackedColumn_ofWrongLength(t *testing.T) {
	t.Parallel()
	all, dest, _ := fields()
	for i, value := range all {
		if _, isText := dest[i].(textColumn[string]); isText {
			continue
		}
		for _, wrong := range [][]byte{append([]byte{}, value[1:]...), append([]byte{}, append(value, 7)...)} {
			record := append([]byte{0, 0, 0, 1}, field(wrong)...)
			if err := packedColumn(dest[i : i+1]).Scan(base64.StdEncoding.EncodeToString(record)); err == nil {
				t.Errorf("a %T understands %x", dest[i], wrong)
			}
		}
	}
}
