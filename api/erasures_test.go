package api_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestErase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := idOf(b.candidate())
	path := "/candidates/" + c
	for _, bad := range []string{"", "1", "yes", "TRUE"} {
		b.leaves(func() { b.do("DELETE", path+"?erase="+bad, nil).fails(400, "VALIDATION_ERROR", "erase") })
	}
	b.do("GET", path+"/erasure", nil).fails(404, "RESOURCE_NOT_FOUND")
	b.leaves(func() {
		require.Contains(t, []int{403, 404}, b.as(b.otherKey, "DELETE", path+"?erase=true", nil).Status)
		b.do("DELETE", "/candidates/"+uuid.NewString()+"?erase=true", nil).fails(404, "RESOURCE_NOT_FOUND")
		reader, _ := b.newKey(&b.company, "read:candidates", "write:candidates")
		require.Equal(t, 403, b.as(reader, "DELETE", path+"?erase=true", nil).Status)
	})

	first := b.do("DELETE", path+"?erase=true", nil).is(202)
	require.Equal(t, "running", first["status"])
	require.Equal(t, "requested", first["reason"])
	require.Equal(t, c, first["candidateId"])
	b.do("GET", path, nil).fails(404, "RESOURCE_NOT_FOUND")
	b.do("DELETE", path, nil).fails(404, "RESOURCE_NOT_FOUND")
	require.Equal(t, first, b.do("DELETE", path+"?erase=true", nil).is(202), "erased twice is erased once")
	require.Equal(t, first, b.get(path+"/erasure"))
	require.Contains(t, []int{403, 404}, b.as(b.otherKey, "GET", path+"/erasure", nil).Status)

	entries := b.do("GET", "/audit?action=erased&targetId="+c, nil).items()
	require.Len(t, entries, 1)
	require.Equal(t, "candidate", entries[0]["targetType"])
	require.Regexp(t, "^key:", entries[0]["actor"])

	deleted := "/candidates/" + idOf(b.candidate())
	require.Equal(t, 200, b.do("DELETE", deleted+"?erase=false", nil).Status)
	require.Equal(t, "running", b.do("DELETE", deleted+"?erase=true", nil).is(202)["status"], "after a deletion too")
}
