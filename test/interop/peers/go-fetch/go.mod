module sallyport/fetch

go 1.24
