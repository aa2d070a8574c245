// Package spelling finds the known name that is nearest to a misspelt one. internal/config and
// internal/tracing use it for errors about environment variables.
package spelling

// Nearest returns the known name that needs the fewest edits to become name, and the number of
// edits. Inserting, deleting and replacing a letter count as one edit each. Of several such names
// it returns the first. Without known names it returns "" and -1.
func Nearest(name string, known []string) (nearest string, edits int) {
	edits = -1
	for _, k := range known {
		if d := distance(name, k); edits < 0 || d < edits {
			nearest, edits = k, d
		}
	}
	return nearest, edits
}

// distance returns the Levenshtein distance of two strings.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
