module sallyport/verify

go 1.24
