package query

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

var assets = []*model.Asset{
	{Owned: model.Owned{ID: "a", CreatedAt: 1}, Properties: map[string]any{model.NS + "id": "a", model.NS + "name": "x 1", model.NS + "size": float64(10)}, PrivateProperties: map[string]any{model.NS + "tidegateOffer": "o1"}},
	{Owned: model.Owned{ID: "b", CreatedAt: 2}, Properties: map[string]any{model.NS + "id": "b", model.NS + "name": "y_2", model.NS + "size": float64(200), "https://example.org/tags": []any{"red", "blue"}}, PrivateProperties: map[string]any{model.NS + "tidegateOffer": "o2"}},
	{Owned: model.Owned{ID: "c", CreatedAt: 3}, Properties: map[string]any{model.NS + "id": "c", model.NS + "nested": map[string]any{"deep": "z"}}},
}

func ids(as []*model.Asset) []string {
	out := []string{}
	for _, a := range as {
		out = append(out, a.ID)
	}
	return out
}

func TestCriteria(t *testing.T) {
	for name, tc := range map[string]struct {
		left, op string
		right    any
		want     []string
	}{
		"id by its IRI":               {model.NS + "id", "=", "a", []string{"a"}},
		"id by @id":                   {"@id", "!=", "a", []string{"b", "c"}},
		"a property by its name":      {"name", "=", "x 1", []string{"a"}},
		"a property by its IRI":       {"'" + model.NS + "name'", "=", "x 1", []string{"a"}},
		"a private property":          {"privateProperties.'" + model.NS + "tidegateOffer'", "=", "o2", []string{"b"}},
		"a private one by short name": {"privateProperties.tidegateOffer", "in", []any{"o1", "o2"}, []string{"a", "b"}},
		"a private one as public":     {"tidegateOffer", "=", "o1", []string{}},
		"numbers compare as numbers":  {"size", ">", float64(9), []string{"a", "b"}},
		"less than":                   {"size", "<", float64(11), []string{"a"}},
		"like with wildcards":         {"name", "like", "_ %", []string{"a"}},
		"ilike":                       {"name", "ilike", "Y%", []string{"b"}},
		"contains":                    {"https://example.org/tags", "contains", "red", []string{"b"}},
		"not in":                      {"@id", "not in", []any{"a", "b"}, []string{"c"}},
		"a nested property":           {"'" + model.NS + "nested'.deep", "=", "z", []string{"c"}},
		"an unknown field":            {"nonsense", "=", "a", []string{}},
		"creation time":               {"createdAt", ">=", float64(2), []string{"b", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ids(Apply(Spec{Filter: []model.Criterion{{OperandLeft: tc.left, Operator: tc.op, OperandRight: tc.right}}}, assets, Asset))
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSortAndPage(t *testing.T) {
	got := ids(Apply(Spec{SortField: "createdAt", Desc: true, Offset: 1, Limit: 1}, assets, Asset))
	if d := cmp.Diff([]string{"b"}, got); d != "" {
		t.Error(d)
	}
	if got := Apply(Spec{Offset: 9}, assets, Asset); len(got) != 0 {
		t.Errorf("beyond the end: %v", ids(got))
	}
}

func TestStatesByNameAndByNumber(t *testing.T) {
	n := &model.Negotiation{State: model.Finalized}
	for _, c := range []model.Criterion{
		{OperandLeft: "state", Operator: "=", OperandRight: "FINALIZED"},
		{OperandLeft: "state", Operator: "=", OperandRight: float64(1200)},
		{OperandLeft: "state", Operator: "in", OperandRight: []any{"VERIFIED", "FINALIZED"}},
		{OperandLeft: "state", Operator: ">", OperandRight: float64(200)},
		{OperandLeft: "https://w3id.org/edc/v0.0.1/ns/state", Operator: "!=", OperandRight: "TERMINATED"},
	} {
		if !Matches([]model.Criterion{c}, n, Negotiation) {
			t.Errorf("%+v does not match", c)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("name", "like", "%x_")
	f.Add("privateProperties.'https://w3id.org/edc/v0.0.1/ns/tidegateOffer'", "=", "o1")
	f.Add("'a.b", "contains", "")
	f.Fuzz(func(_ *testing.T, left, op, right string) {
		Matches([]model.Criterion{{OperandLeft: left, Operator: op, OperandRight: right}}, assets[2], Asset)
	})
}
