//! Traditional Chinese characters as simplified ones, so that a list says the same in both.
//!
//! Only those that names of drugs and conditions are written with, one character for one. A name that holds another
//! is compared as it is written: nothing is guessed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Traditional characters, each with its simplified form behind it.
const FORMS: &str = "亞亚來来係系個个傷伤內内凈净別别劇剧劑剂動动勞劳區区單单嗎吗嘔呕噁恶噴喷國国塊块壓压婦妇孿孪對对導导島岛帶带幹干強强後后復复徵征惡恶慶庆應应懷怀懸悬捨舍損损撲扑攝摄斷断於于時时會会東东楊杨極极\
     機机檢检氣气氫氢沒没淚泪淨净減减潰溃濕湿瀉泻無无煙烟熱热爾尔狀状獨独環环瓊琼產产異异瘍疡癆痨癇痫癤疖癥症癬癣癲癫盡尽監监眾众碩硕種种筆笔篩筛紅红紋纹純纯細细終终絕绝給给統统絲丝經经綜综維维緊紧\
     線线緩缓縮缩繼继纈缬續续纖纤羅罗羥羟聯联聽听肅肃脅胁脈脉脫脱腎肾腦脑腫肿腸肠膚肤膠胶膽胆臉脸臟脏臨临與与舊旧茲兹莖茎華华萊莱萬万葉叶蓋盖蔘参蕁荨藥药蘆芦蘇苏蘭兰處处虛虚號号蝦虾蟎螨蟲虫蠶蚕術术\
     衝冲製制複复視视親亲覺觉觀观訂订計计診诊註注評评試试該该認认語语說说調调諾诺證证識识護护變变豐丰貝贝負负貧贫質质賴赖贊赞軟软輕轻輸输轉转辦办連连進进運运過过達达遠远適适選选還还邊边醃腌醫医醯酰\
     釋释針针鈉钠鈣钙鉀钾鋁铝鋅锌鋰锂錠锭鎂镁鎮镇鏈链鐵铁長长門门閉闭開开間间關关陰阴陽阳隨随險险雙双雜杂雞鸡離离難难電电靈灵韋韦頂顶預预頑顽頓顿頭头頸颈顆颗題题類类顫颤顯显風风飲饮飼饲飽饱養养餵喂\
     馬马駁驳驗验驚惊髒脏體体鬆松鬱郁魚鱼魯鲁鮮鲜鳥鸟鹼碱鹽盐麥麦點点黴霉齊齐齡龄龍龙";

/// The text with every traditional character that is known as its simplified form.
pub fn simplified(text: &str) -> Cow<'_, str> {
    // Western text has none.
    if text.chars().all(|character| character < '\u{4e00}') {
        return Cow::Borrowed(text);
    }
    // Made once: every name of a list and of a catalogue comes by here.
    static PAIRS: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
        let mut forms = FORMS.chars();
        std::iter::from_fn(|| Some((forms.next()?, forms.next()?))).collect()
    });
    Cow::Owned(text.chars().map(|character| *PAIRS.get(&character).unwrap_or(&character)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_stands_once_and_is_simplified_itself() {
        let letters: Vec<char> = FORMS.chars().collect();
        assert_eq!(letters.len() % 2, 0);
        let mut seen = std::collections::HashSet::new();
        for pair in letters.chunks(2) {
            assert!(seen.insert(pair[0]), "{} stands twice", pair[0]);
            assert_eq!(simplified(&pair[1].to_string()), pair[1].to_string());
        }
        assert_eq!(simplified("慢性腎臟病"), "慢性肾脏病");
        assert_eq!(simplified("癲癇 and gout"), "癫痫 and gout");
    }
}
