// Sentences that the server writes in English from a form and a few names, in other languages: why something is ruled
// out, what is to be heeded, why a flag was raised. What no form fits, such as the words of a record or a package,
// stays as it is written. A form is given what says such a sentence, for the parts that are one, and what stood there.

const LISTS = { allergies: "过敏史", conditions: "病症", medications: "用药", pregnancy: "妊娠情况", sex: "性别", birth_year: "出生年份", item: "该项目" };
const list = (name) => LISTS[name] ?? name;
const either = (one, words) => (one === undefined ? "" : words);

export const sentences = {
  zh: [
    [/^allergy: (.+)$/, (say, what) => `过敏：${say(what)}`],
    [/^condition: (.+)$/, (say, what) => `病症：${say(what)}`],
    [/^interaction: (.+)$/, (say, what) => `相互作用：${say(what)}`],
    [/^duplicate therapy: already taking (.+)$/, (say, what) => `重复用药，已在使用：${say(what)}`],
    [/^duplicate therapy: (.+) \(already taking (.+)\)$/, (say, group, what) => `重复用药：同属 ${group}（已在使用：${say(what)}）`],
    [/^pregnancy$/, () => "妊娠"],
    [/^sex: for (female|male) only$/, (_, sex) => `性别：仅用于${sex === "male" ? "男性" : "女性"}`],
    [/^age: under (\d+)$/, (_, age) => `年龄：未满 ${age} 岁`],
    [/^age: over (\d+)$/, (_, age) => `年龄：超过 ${age} 岁`],
    [/^age: (\d+) to (\d+)$/, (_, from, to) => `年龄：${from} 至 ${to} 岁`],
    [/^(allergies|conditions|medications|pregnancy|sex|birth_year): not recorded$/, (_, name) => `${list(name)}：没有记录`],
    [/^indication: none recorded of (.+)$/, (_, wanted) => `适应症：没有记录其中任何一项：${wanted}`],
    [/^item: its (rule about|class) "(.+?)" is (?:not understood|understood in part)(?:; did you mean "(.+)"\?)?$/, (_, what, written, near) => `${what === "class" ? "该项的类别" : "该项的规则"}无法识别：“${written}”${either(near, `；是否指“${near}”？`)}`],
    [/^item: no rules are known about "(.+)"$/, (_, name) => `没有关于“${name}”的规则`],
    [/^(allergies|conditions|medications|item): "(.+?)"(?: \(beside "(.+)"\))? is not understood(?:; did you mean "(.+)"\?)?$/, (_, name, written, beside, near) => `${list(name)}：无法识别“${written}”${either(beside, `（与“${beside}”一同记录）`)}${either(near, `；是否指“${near}”？`)}`],
    [/^(below|above) ([\d.]+)( [^\d ]\S*)?(?: from (\d+)(?: to below (\d+))? years| below (\d+) years)?(, as written in the note)?$/, (_, side, limit, unit = "", from, to, under, written) =>
      `${side === "below" ? "低于" : "高于"} ${limit}${unit}${from ? (to ? `（${from} 岁起、未满 ${to} 岁）` : `（${from} 岁起）`) : either(under, `（未满 ${under} 岁）`)}${either(written, "，见记录原文")}`],
    [/^the note says so, neither denied nor as history$/, () => "记录中提到，既未否认，也不是既往史"],
    [/^is (.+)$/, (say, value) => `为${say(value)}`],
    [/^65 years of age or older$/, () => "65 岁或以上"],
    [/^may become pregnant \(by sex and age\)$/, () => "可能怀孕（按性别和年龄）"],
    [/^([^:]+), recommended above$/, (_, name) => `上方推荐的 ${name}`],
  ],
};
