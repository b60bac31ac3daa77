Creator "hand-made for the tests, in the manner of the Internet Topology Zoo"
Version "1.0"
graph [
  DateObtained "1/01/11"
  directed 0
  Network "Odd &#38; Old"
  node [
    id 0
    label "Town"
    Country "Nowhere"
    Longitude 4.0
    Internal 1
    Latitude 52.0
    graphics [ x 1.0 y 2 ]
  ]
  node [
    id 1
    label "Town"
    Longitude 5.0
    Latitude 52.0
  ]
  node [
    id 2
    label "None"
    hyperedge 1
  ]
  edge [
    source 0
    target 1
    LinkSpeed "2.5"
    LinkSpeedUnits "G"
    LinkSpeedRaw 2500000000.0
    LinkLabel "OC-48"
  ]
  edge [
    source 0
    target 1
    LinkSpeed "155"
    LinkSpeedUnits "M"
  ]
  edge [
    source 1
    target 2
    LinkLabel "?"
  ]
  edge [
    source 2
    target 2
  ]
]
