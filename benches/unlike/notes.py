#!/usr/bin/env python3
"""How many notes that are no notes get a label, and how many of a model's own test notes do not.

    benches/unlike/notes.py BASE [--data FOLDER] [--model NAME ...] [--show]

Asks a running server (BASE, such as http://127.0.0.1:8080) about 260 texts of thirteen kinds that no model
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

SEED = 20261128

PROSE = """The orchestra tuned up while the audience found its seats.
Our landlord has promised to fix the boiler before winter.
The spreadsheet crashed when I pasted the second column.
Every spring the storks return to the chimney of the old brewery.
The referee waved play on despite the protests from the bench.
We are looking for a developer with three years of experience in databases.
The bus timetable changes at the weekend because of the marathon.
Her grandmother taught her how to fold paper cranes.
The auction for the painting started at nine thousand pounds.
Sand the boards, wipe off the dust and apply two coats of varnish.
The referendum was postponed until the autumn.
My sister is learning to drive a tractor on the farm.
The documentary shows how glaciers carve valleys.
Could someone please unlock the meeting room on the second floor?
The warranty does not cover damage from falling onto tiles.
They launched a kite shaped like a dragon from the hill.
The supermarket has moved the cereal to aisle seven.
His lecture compared the tax systems of four countries.
I would like to exchange these boots for a larger size.
The squirrels have eaten all the seeds from the feeder.
Photosynthesis turns light into chemical energy.
The castle was built in 1284 and burned down twice.
Beat the egg whites until they form stiff peaks.
Subscribe to our newsletter and get ten percent off.
The plumber will arrive between nine and eleven on Thursday.""".splitlines()

HISTORY = """The emperor crossed the Alps with thirty thousand men.
The square of the hypotenuse equals the sum of the squares of the other sides.
In the beginning the universe was created.
A planet is a body that orbits a star.
The treaty was signed in a railway carriage in a forest.
Copper is a better conductor than iron.
Water boils at a lower temperature on a mountain.
The printing press spread through Europe within fifty years.
The parliament consists of two chambers.
Whales are mammals that live in the sea.
The prime numbers have no largest member.
Gravity bends the path of light near a star.
The river delta is home to more than two hundred species of birds.
A noun names a person, a place or a thing.
The stock exchange opened in a coffee house.""".splitlines()

CODE = """public static void main(String[] args) { System.out.println(args.length); }
SELECT name, COUNT(*) FROM users GROUP BY name HAVING COUNT(*) > 1;
fn main() { let v: Vec<u8> = Vec::new(); println!("{}", v.len()); }
if (x == null) { return Optional.empty(); }
curl -X POST -H 'Accept: text/html' localhost:9000/upload
const total = items.reduce((sum, item) => sum + item.price, 0);
<div class="row"><span id="a1">next</span></div>
sudo apt-get install build-essential
git rebase -i HEAD~3 --autosquash
#!/bin/bash
for f in *.txt; do mv "$f" "${f%.txt}.md"; done
{"id": 17, "tags": ["red", "blue"], "nested": {"ok": true}}
lambda x: sorted(x, key=len, reverse=True)
Traceback (most recent call last): File "app.py", line 12
kubectl get pods --namespace default
ssh-keygen -t ed25519 -C "user@example.org"
CREATE INDEX idx_name ON people (last_name, first_name);
margin: 0 auto; padding: 4px 8px; color: #ff8800;
0x7fff5fbff8c0 SIGSEGV core dumped
while ((c = getchar()) != EOF) putchar(c);""".splitlines()

LANGUAGES = """Der Bus nach Hamburg hat heute zwanzig Minuten Verspätung.
Können Sie mir bitte die Rechnung bringen?
Il pleut depuis ce matin et le marché est fermé.
Nous avons acheté une maison au bord du lac.
La biblioteca abre a las nueve de la mañana.
¿Cuánto cuesta el billete de ida y vuelta?
Domani andiamo a vedere la partita allo stadio.
O comboio para o Porto sai da linha três.
De fiets staat achter het huis van mijn oom.
Solen skinner over fjorden i dag.
Jutro jedziemy nad morze całą rodziną.
Dneska večer hrajeme šachy v hospodě.
Holnap vonattal utazunk Budapestre.
Bugün pazardan elma ve peynir aldım.
Huomenna menemme mökille järven rannalle.
Astăzi mergem la piață să cumpărăm mere.
Завтра мы поедем на дачу собирать яблоки.
Книга лежит на столе возле окна.
Αύριο θα πάμε στη θάλασσα με τα παιδιά.
מחר ניסע לים עם המשפחה.
غدا سنذهب إلى السوق لشراء الفواكه.
कल हम बाज़ार से फल खरीदेंगे।
明日は電車で京都に行きます。
このラーメンはとても美味しい。
내일 친구와 영화를 보러 갑니다.
พรุ่งนี้เราจะไปตลาด
Ngày mai chúng tôi đi chợ mua hoa.
Kesho tutaenda sokoni kununua matunda.
Cras ad forum ibimus et libros ememus.
Ĉu vi povas rekomendi bonan libron?""".splitlines()

CHINESE = """明天早上八点的火车，别忘了带身份证。
这家公司的股票上周跌了百分之五。
厨房的水龙头漏水，请物业来修一下。
我们班下周要去博物馆参观。
这款手机的电池能用两天。
请把合同打印两份，盖章后寄给对方。
篮球比赛加时赛才分出胜负。
她的新书下个月出版。
阳台上的月季今年开得特别好。
怎么把照片从手机导入电脑？
桥头那家书店搬走了。
年终奖什么时候发？
飞机因大雾延误了三个小时。
租房合同到期后押金怎么退？
弟弟的生日礼物是一架遥控飞机。
三国演义的作者是谁？
如何申请营业执照？
打折的羽绒服已经卖光了。
昨晚的流星雨你看到了吗？
学校食堂新增了两个窗口。
小王把自行车停在图书馆门口。
这首歌的歌词写得真好。
请问去火车站坐几路车？
糖醋排骨需要先焯水。
长江后浪推前浪，一代新人换旧人。
白日依山尽，黄河入海流。
葡萄牙队在点球大战中获胜。
登录密码忘记了如何找回？
新买的打印机连不上无线网络。
快过年了，家家户户都在贴春联。""".splitlines()

SPAM = """WIN A FREE CRUISE!!! CLICK NOW
Limited offer, buy one get one free
Meet singles in your area tonight
Earn 5000 a week working from home
Your account has been suspended, verify your password
hello there
good morning everyone
see you later
thanks a lot, bye
who are you?
what is the capital of France
tell me a joke
lol ok whatever
first post
no comment""".splitlines()

COMPLAINTS = ["abdominal pain", "chest discomfort", "shortness of breath", "right flank pain", "fever and cough",
              "headache since yesterday", "ankle sprain", "dizziness", "vomiting", "back pain"]

MARKS = ["🚗🚲", "🎉🎂 🎈", "-----", "***", "¯\\_(ツ)_/¯", ":-) :-(", "★★★☆☆", "§§§", "→ → ←", "…", "#####", "&&&", "?!?!", "(((())))",
         "♠♥♦♣"]


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
        "repeated": [rng.choice(["la ", "ha", "bla ", "na ", "z", "ab", "yes ", "no ", "the ", "one two ", "abc ", "ok ", "xo", "-o", "tik tok "])
                     * rng.randint(3, 8) for _ in range(15)],
    }


def sets():
    return {"prose": PROSE, "facts": HISTORY, "code": CODE, "languages": LANGUAGES, "Chinese": CHINESE, "spam and talk": SPAM,
            "marks": MARKS, **generated()}


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
