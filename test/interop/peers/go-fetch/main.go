// Fetches a URL with net/http as it comes: proxy and roots are those of the environment. Prints the body.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil || response.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, response.Status, err)
		os.Exit(1)
	}
}
