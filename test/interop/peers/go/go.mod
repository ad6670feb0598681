module sallyport.test/go-peer

go 1.24
