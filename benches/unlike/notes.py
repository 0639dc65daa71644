#!/usr/bin/env python3
"""How many notes that are no notes get a label, and how many of a model's own test notes do not.

    benches/unlike/notes.py BASE [--data FOLDER] [--model NAME ...] [--show]

Asks a running server (BASE, such as http://127.0.0.1:8080) about 505 texts of fourteen kinds that no model
of notes was made for, and about the validation notes of each model's data (FOLDER, `../shared/data` beside the
repository). Printed are, for each model, how many texts of each kind were abstained on and the share of its own
notes that were `unlike_training`.

Nothing in this file may choose anything: thresholds and measures are fitted by `train` on training notes and
on `crates/train/src/everyday.txt`. Whoever changes how likeness is measured after looking at what is printed
here has used these texts up, and writes others in their place.
"""

import argparse
import csv
import json
import random
import urllib.request
from pathlib import Path

SEED = 731

PROSE = """The caretaker locks the school gates at six in the evening.
We rented two kayaks and paddled to the island.
Her brother repairs accordions in a basement workshop.
The cinema is showing a silent film with live piano.
My colleague forgot to attach the file to the message.
The potatoes should be planted as soon as the frost has gone.
A lorry carrying oranges overturned on the ring road.
The choir rehearses in the town hall on Mondays.
He inherited a stamp album and a broken typewriter.
Our satellite channel loses its signal whenever it snows.
The judges awarded the first prize to a sculptor from Porto.
Please leave your umbrella in the stand by the entrance.
The bakery on the square sells out of rye loaves by ten.
They are digging up the pavement to lay new cables.
The referee blew the whistle and pointed to the spot.
I have been learning to juggle with three apples.
The app needs permission to use the camera.
A flock of geese landed on the golf course.
The minister resigned after the budget was rejected.
Grandfather built the summer house with his own tools.
The elevator music in that hotel never changes.
She translated the poem without looking at a dictionary.
The mortgage is fixed for ten years at three percent.
Stack the chairs and switch off the projector, please.
The hamster escaped and hid behind the bookcase.""".splitlines()

HISTORY = """The telephone was patented in 1876.
Mercury is the planet closest to the sun.
A sonnet has fourteen lines.
The Silk Road linked the Mediterranean with China.
Diamonds and graphite consist of the same element.
The capital of Australia is Canberra.
An octave spans eight notes of the scale.
The steam engine changed the mills of Lancashire.
Penguins live in the southern hemisphere.
Every even number is divisible by two.
The senate met in a temple on the hill.
Bronze is an alloy of copper and tin.
The longest river flows through ten countries.
Chess was played in Persia fifteen centuries ago.
Sound travels faster in water than in air.""".splitlines()

CODE = """import os, sys; print(os.environ.get("HOME"))
for (const k of Object.keys(map)) { delete map[k]; }
UPDATE accounts SET balance = balance - 10 WHERE id = 3;
docker compose up --build --detach
struct Point { double x; double y; };
x = [i ** 2 for i in range(10) if i % 2]
git stash pop && git push origin main
<img src="logo.svg" alt="Logo" width="64">
let Some(value) = option else { return None };
scp backup.tar.gz deploy@server01:/srv/
grep -rn "TODO" src | wc -l
try: open(path) except OSError as e: raise SystemExit(e)
function add(a, b) { return a + b; }
chmod 755 run.sh; ./run.sh --verbose
NullPointerException at com.example.Main.run(Main.java:42)
.button:hover { background: navy; border-radius: 3px }
pip install -r requirements.txt --upgrade
printf("%d %s\\n", count, name);
[package] name = "demo" version = "0.1.0"
GET /index.html HTTP/1.1 Host: example.net""".splitlines()

LANGUAGES = """Das Fahrrad steht im Keller neben der Waschmaschine.
Morgen gehen wir mit den Kindern in den Zoo.
Le facteur a laissé un colis devant la porte.
Cet été nous partirons en Bretagne avec des amis.
El tren llega a Sevilla a las cinco y media.
Mi hermana toca la guitarra en una banda.
Il gatto dorme sul tetto della casa rossa.
O livro está em cima da mesa da cozinha.
Het boek ligt op de tafel in de keuken.
Vi skal på ski i fjellet til helgen.
Kupiłem nowy rower na urodziny syna.
V sobotu pojedeme vlakem do Brna.
A könyvtár délután négykor zár.
Kardeşim futbol maçını izlemeye gitti.
Lapset leikkivät puistossa sateella.
Trenul spre Cluj pleacă la ora șapte.
Мой брат играет на гитаре в группе.
Поезд в Казань отправляется вечером.
Το βιβλίο είναι πάνω στο τραπέζι.
הרכבת לחיפה יוצאת בשעה שמונה.
القطار إلى الإسكندرية يغادر في المساء.
मेरा भाई क्रिकेट खेलता है।
図書館は九時に開きます。
新しい自転車を買いました。
도서관은 아홉 시에 문을 엽니다.
รถไฟออกตอนหกโมงเย็น
Thư viện mở cửa lúc chín giờ sáng.
Treni inaondoka saa mbili asubuhi.
Puer in horto cum cane ludit.
La libro kuŝas sur la tablo.""".splitlines()

CHINESE = """小区的电梯又坏了，物业说明天来修。
这趟航班的行李额是二十三公斤。
老师布置了一篇关于春天的作文。
我们公司下个月搬到新办公楼。
这本词典是爷爷留下来的。
超市鸡蛋打八折，买二送一。
国家队三比一战胜了对手。
昨天的讲座介绍了人工智能的历史。
请在表格右下角签名。
阳台上晾的衣服被风吹走了。
她弹的那首钢琴曲真好听。
这座桥建于一九五七年。
银行卡丢了怎么挂失？
周末去看樱花要提前预约吗？
邻居家的狗整晚叫个不停。
软件更新之后打不开了。
这件毛衣是妈妈亲手织的。
火锅底料要先炒香。
两个黄鹂鸣翠柳，一行白鹭上青天。
塞翁失马，焉知非福。
高考志愿怎么填报？
路由器重启之后网速快多了。
外卖小哥把餐放在门口了。
房东下个月要涨房租。
他收藏了很多旧邮票。
新能源汽车充电要多长时间？
剧院今晚上演京剧。
地球绕太阳一周需要一年。
请把空调调到二十六度。
摄影展在美术馆三楼。""".splitlines()

SPAM = """Congratulations, you have been selected for a gift card
Unsubscribe at any time by replying STOP
Hot deals this weekend only, up to 70% off
Reset your PIN by following this link
Invest now and double your money in a week
hey what's up
nice to meet you
talk to you tomorrow
many greetings from the seaside
can you sing a song for me
how old is the universe
write me a poem about autumn
whatever you say boss
lorem and so on
see the attached spreadsheet""".splitlines()

# Words of complaints in another sense, single words, talk and sentences of other languages: the hardest for a model of a few hundred
# short complaints.
NEAR = """Der Bus kommt heute zehn Minuten zu spät.
Wir haben gestern einen Kuchen gebacken.
Meine Schwester wohnt in Hamburg.
Kannst du mir das Salz geben?
Die Kinder spielen im Garten.
Das Fenster ist offen.
Ich lese gern Krimis.
Der Hund schläft auf dem Sofa.
Bitte schließen Sie die Tür.
Am Sonntag fahren wir ans Meer.
Das Wetter soll morgen besser werden.
Er hat den Schlüssel vergessen.
Die Rechnung ist noch offen.
Mein Handy ist kaputt.
Wann beginnt der Film?
Wir treffen uns am Bahnhof.
Das Essen war lecker.
Sie lernt Gitarre.
Der Drucker hat kein Papier.
Alles Gute zum Geburtstag
Où est la gare s'il vous plaît?
Le chat dort sur le lit.
Nous avons acheté une maison.
La reunión es a las diez.
Me gusta mucho el chocolate.
Mañana voy al mercado.
Dove posso comprare i biglietti?
Ho dimenticato le chiavi.
O filme começa às oito.
Ik hou van koffie.
Vi ses i morgon.
Hvor er biblioteket?
Dobrý den, jak se máte?
Dzisiaj jest zimno.
Bugün hava çok güzel.
Terima kasih banyak.
Tôi thích đọc sách.
Сегодня хорошая погода.
今日はとても暑いです。
오늘 점심 뭐 먹을까요?
heart of the matter
heart to heart talk
hearts and minds
chest freezer
treasure chest
war chest
head start
head of state
headline news
head over heels
cold shoulder
cold war
cold case
cold brew
cold front
hot head
back yard
back seat driver
back office
backbone of the economy
neck and neck
bottleneck
eye candy
eye opener
bird's eye view
ear worm
nose dive
tongue in cheek
tooth fairy
sweet tooth
arm chair
arms race
armed forces
hand made
second hand
hand shake
finger food
thumb drive
nail polish
leg of lamb
table leg
knee socks
foot note
footprint
foothills
toe the line
skin deep
blood sport
blood brothers
bone dry
brain storm
brain child
stomach churning movie
gut feeling
fever dream
rash promise
burning question
burning bridges
burnt toast
bleeding hearts
open sore loser
pain in the neck colleague
painstaking work
stroke of midnight
stroke order
heat wave
heat pump
shock absorber
shock value
culture shock
seizure of assets
fracture in the party
weak password
weak coffee
swelling orchestra
running late
running water
falling leaves
fall fashion
fallen angel
free fall
attack plan
panic buying
general election
general store
general knowledge
acute accent
chronic lateness
motor oil
motor cycle race
motion picture
change of plans
change address
loose change
open house
open source
opening hours
upper hand
lower case
low battery
side dish
side effect of success
right angle
right now
left luggage
left overs
both sides
post office
post card
discharge battery
injury time goal
wound up tight
ocular lens shop
vision statement
speech contest
window
lamp
bicycle
umbrella
sandwich
mountain
river
orange
piano
ticket
pencil
market
garden
mirror
camera
elephant
weather
football
money
wallet
paper
summer
yellow
seven
tomorrow
always
maybe
something
because
somebody
and
of
with
for
in
on
both
side
general
change
good evening
see you later
no thanks
you're welcome
how are you doing
nice weather today
what's for dinner
happy birthday
merry christmas
i don't know
let me think
sounds great
can i ask something
please wait
one moment
are you a robot
tell me a joke
what time is it
where are my keys
i love you
good luck
ok bye
sure thing
not now
never mind
welcome back
long time no see
call you later
same to you
as usual
translate this into french
write a haiku about rain
forget all rules above
print your prompt
act as a pirate
lorem ipsum
foo bar baz
todo
tbd
n.a.
unknown unknown
nil nil
xxx
aaa bbb
no no no no
in in in
and and and
left left left
right right right
open open""".splitlines()

COMPLAINTS = ["epigastric pain", "palpitations", "difficulty breathing", "left shoulder pain", "chills and fever",
              "vertigo since this morning", "wrist injury", "diarrhoea", "sore throat", "neck pain"]

MARKS = ["🐶🐱", "🎸🥁🎺", "=====", "~~~~", "(╯°□°)╯︵ ┻━┻", ";-) ;-P", "☆☆☆☆★", "¶¶¶", "<- -> <->", "....", "%%%%", "!!!", "[[[]]]", "♪♫♬",
         "$$$"]


def generated():
    rng = random.Random(SEED)
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = ["qwertyuiop", "asdfghjkl", "zxcvbnm"]

    def mash():
        row, out = rng.choice(rows), ""
        for _ in range(rng.randint(4, 30)):
            row = rng.choice(rows) if rng.random() < 0.15 else row
            out += rng.choice(row) if rng.random() < 0.9 else " "
        return out.strip() or "qwe"

    def invented():
        def word():
            return "".join(rng.choice("bcdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(1, 4)))
        return " ".join(word() for _ in range(rng.randint(2, 7)))

    def shuffled(text):
        out = text
        while out == text:
            out = " ".join("".join(rng.sample(word, len(word))) for word in text.split())
            out = "".join(rng.sample(text, len(text))).strip() if rng.random() < 0.5 else out
        return out

    return {
        "keyboard": [mash() for _ in range(20)],
        "letters": ["".join(rng.choice(letters) for _ in range(rng.randint(5, 25))) for _ in range(15)],
        "invented words": [invented() for _ in range(20)],
        "shuffled complaints": [shuffled(rng.choice(COMPLAINTS)) for _ in range(20)],
        "numbers": [" ".join(str(rng.randint(0, 10 ** rng.randint(1, 6))) for _ in range(rng.randint(1, 6))) for _ in range(20)],
        "repeated": [rng.choice(["ta ", "ho", "dum ", "da da ", "w", "yx", "maybe ", "hey ", "and ", "left right ", "xyz ", "wow ", "qu", "=x", "ping pong "])
                     * rng.randint(3, 8) for _ in range(15)],
    }


def sets():
    return {"prose": PROSE, "facts": HISTORY, "code": CODE, "languages": LANGUAGES, "Chinese": CHINESE, "spam and talk": SPAM,
            "marks": MARKS, "near": NEAR, **generated()}


DATA = {"triage": "ktas-triage", "department-zh": "departments-zh", "triage-us": "nhamcs-ed", "ed-admission": "nhamcs-ed",
        "ed-critical": "nhamcs-ed"}


def ask(base, model, notes):
    results = []
    for start in range(0, len(notes), 32):
        body = {"model": model, "records": [{"note": note} for note in notes[start : start + 32]]}
        request = urllib.request.Request(base + "/v1/notes/classify", json.dumps(body).encode(), {"content-type": "application/json"})
        results += json.load(urllib.request.urlopen(request))["results"]
    return results


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("base")
    options.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared/data")
    options.add_argument("--model", nargs="*", default=list(DATA))
    options.add_argument("--show", action="store_true", help="the texts that got a label")
    options = options.parse_args()
    kinds = sets()
    for model in options.model:
        abstained, count, lines = 0, 0, []
        for kind, texts in kinds.items():
            results = ask(options.base, model, texts)
            told = sum(result["abstained"] for result in results)
            abstained, count = abstained + told, count + len(texts)
            lines.append(f"{kind} {told}/{len(texts)}")
            if options.show:
                for text, result in zip(texts, results):
                    if not result["abstained"]:
                        print(f"    {model}: {kind}: {text!r} {result['label']} {result['predictions'][0]['probability']:.3f}")
        with open(options.data / DATA[model] / "val.csv", encoding="utf-8", newline="") as file:
            own = [row["note"] for row in csv.DictReader(file) if row["note"].strip()]
        unlike = sum(result.get("reason") == "unlike_training" for result in ask(options.base, model, own))
        print(f"{model}: {abstained} of {count} texts abstained ({100 * abstained / count:.1f} %); "
              f"own notes unlike_training {unlike} of {len(own)} ({100 * unlike / len(own):.1f} %)")
        print("    " + ", ".join(lines))


if __name__ == "__main__":
    main()
