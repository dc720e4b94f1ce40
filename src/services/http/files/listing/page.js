{
const rows=[...document.querySelectorAll(".l tbody:last-of-type tr")]
const times=document.querySelectorAll(".l time")
const two=number=>String(number).padStart(2,0)
if(times.length<=20000){
for(const time of times){
const iso=time.textContent.replace(" ","T"),local=new Date(iso)
time.dateTime=iso
time.textContent=[local.getFullYear(),two(local.getMonth()+1),two(local.getDate())].join("-")+" "+two(local.getHours())+":"+two(local.getMinutes())
}
document.querySelector(".u").remove()
}
const label=document.querySelector(".b label"),input=label.firstChild,status=document.querySelector("[role=status]")
const orders=document.querySelectorAll(".l th a"),kept="#filter="
let names
input.oninput=()=>{
names??=rows.map(row=>row.cells[0].textContent.toLowerCase())
const words=input.value.toLowerCase().split(/\s+/)
let shown=0
rows.forEach((row,at)=>{shown+=!(row.hidden=!words.every(word=>names[at].includes(word)))})
status.textContent=words.join("")?`${shown} of ${rows.length} shown`:""
for(const order of orders)order.hash=status.textContent&&kept+encodeURIComponent(input.value)
}
label.hidden=false
if(location.hash.startsWith(kept)){
input.value=decodeURIComponent(location.hash.slice(kept.length))
input.oninput()
}
}
