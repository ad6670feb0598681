// Verifies certificate chains with crypto/x509. Input: a JSON list of {root, intermediate, leaf, name}, PEM. Output: a JSON
// list of texts, empty for a chain that was accepted.
package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
)

type verification struct {
	Root         string `json:"root"`
	Intermediate string `json:"intermediate"`
	Leaf         string `json:"leaf"`
	Name         string `json:"name"`
}

func main() {
	var list []verification
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		panic(err)
	}
	results := make([]string, len(list))
	for i, it := range list {
		if err := verify(it); err != nil {
			results[i] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		panic(err)
	}
}

func verify(it verification) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(it.Root)) || !intermediates.AppendCertsFromPEM([]byte(it.Intermediate)) {
		return errors.New("an authority does not parse")
	}
	block, _ := pem.Decode([]byte(it.Leaf))
	if block == nil {
		return errors.New("the leaf is not PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: it.Name})
	return err
}
